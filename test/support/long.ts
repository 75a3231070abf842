/** Whether the long versions of the tests are enabled: LLMFS_LONG=1. */
export const LONG = (process.env.LLMFS_LONG ?? "") !== "";
