/** Whether the long forms of the tests were asked for: LLMFS_LONG=1. */
export const LONG = (process.env.LLMFS_LONG ?? "") !== "";
