/**
 * An open `.llmfs/control`: whoever has it open asks for work on files, and reads what became of each request.
 *
 * A request is a line of JSON, and so is the answer to it. Any number of requests may be under way; answers come in the
 * order in which the work is done, and bear the request's `id`.
 *
 *   {"id": 1, "op": "make", "path": "/a.md"}                         generates the file if it has no content
 *   {"id": 2, "op": "regen", "path": "/a.md", "prompt": "In verse."} generates another content, with another prompt
 *   {"id": 3, "op": "regen", "path": "/b.md", "force": true}         also if somebody wrote what is in the file
 *   {"id": 4, "op": "undo", "path": "/a.md"}                         brings the previous content back
 *   {"id": 5, "op": "save"}                                          saves the tree at the destination of --save
 *   {"id": 7, "op": "add", "path": "/c.md", "description": "what it is"} makes a pending file, and directories above it
 *   {"id": 6, "op": "stop"}                                          calls off everything that is under way here
 *
 *   {"id": 1, "ok": true, "usage": {…}}
 *   {"id": 2, "errno": "EDQUOT", "message": "the budget …", "usage": {…}}
 *   {"id": 5, "ok": true, "saved": {"kind": "saved", "file": "/home/me/tree.json"}, "usage": {…}}
 *
 * `id` is any JSON value; `usage` is what the mount has spent until then, as in usage.json. In `path` a byte that is no
 * part of valid UTF-8 is a lone surrogate, as in snapshots. write(2) takes requests, and may take fewer bytes than it
 * was given. Where nothing can be opened for writing (a read-only mount), ioctl(2) with SUBMIT takes them. read(2) waits
 * while requests are under way (with O_NONBLOCK it fails with EAGAIN) and returns 0 when there are none. When the file is closed, what is under way is called
 * off after a moment (see fs/waiting/grace.ts).
 *
 * `add` may have `prompt`, `generator` and `depends` too, which become the attributes of these names.
 *
 * The file's mode says who may ask. `regen`, `undo` and `add` need it to be open for writing, and the caller needs the
 * permission to write to the file, or to the directory, that is named.
 */

/** _IOW('l', 1, char[n]): how many bytes follow stands in the fourteen bits that are 0 here. */
export const SUBMIT = 0x4000_6c01;
/** As many bytes as one command takes: asm-generic/ioctl.h. */
export const SUBMIT_BYTES = (1 << 14) - 1;
