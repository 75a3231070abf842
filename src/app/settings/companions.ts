/** Variables that name programs beside llmfs: one that mounts for it, and a service manager that waits for it. */
import { type ChosenHelper, HELPER_VARIABLE } from "../../fuse/mounting/chosen-helper.ts";

/** Undefined if fusermount3 is to be used. */
export function readChosenHelper(): ChosenHelper | undefined {
  const program = process.env[HELPER_VARIABLE];
  return program === undefined || program === "" ? undefined : { program, environment: process.env };
}

/**
 * The socket of a service manager (sd_notify(3)). It is taken out of the environment, because a guardian or a program that
 * mounts must not speak for the service.
 */
export function takeServiceSocket(): string | undefined {
  const socket = process.env.NOTIFY_SOCKET;
  delete process.env.NOTIFY_SOCKET;
  return socket === "" ? undefined : socket;
}
