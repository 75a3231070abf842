/** Tells systemd how a service is doing, as sd_notify(3) describes: a unit with Type=notify counts as started when it is mounted. */
import { takeServiceSocket } from "../../app/settings/companions.ts";
import { messageOf } from "../../errno.ts";
import { sendDatagram } from "../../libc.ts";
import { say } from "../output/terminal.ts";

const socket = takeServiceSocket();

/** Lines such as "READY=1". Does nothing if no service manager has started this process. */
export function notifyService(state: string): void {
  if (socket === undefined) return;
  try {
    sendDatagram(socket, state);
  } catch (error) {
    say(`llmfs: the service manager was not notified: ${messageOf(error)}`);
  }
}
