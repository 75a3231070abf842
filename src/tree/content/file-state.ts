/** Whether a regular file has its content. */

/**
 * The state of a file:
 * - "static": it was written by a user, or is empty
 * - "pending": it has a generator and no content yet
 * - "generating": the generator is running and has waiters
 * - "ready": it has generated content; a change makes it "static"
 * - "failed": the generator failed; the next open tries again
 */
export type FileState = (typeof FILE_STATES)[number];

export const FILE_STATES = ["static", "pending", "generating", "ready", "failed"] as const;
