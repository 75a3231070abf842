/** Whether a regular file has its content. */

/**
 * Where a file is in its life:
 * - "static": bytes someone wrote, or none
 * - "pending": it has a generator and no bytes yet
 * - "generating": somebody waits for the generator
 * - "ready": the generator's bytes; whoever changes them makes them "static"
 * - "failed": the generator was tried; the next open tries again
 */
export type FileState = (typeof FILE_STATES)[number];

export const FILE_STATES = ["static", "pending", "generating", "ready", "failed"] as const;
