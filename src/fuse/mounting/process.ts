/** What our long-lived processes have in common. */

/**
 * For the environment of a process that sleeps most of its life: Bun's timer that looks once a second, later twice a
 * minute, whether there is garbage to collect is not started. The engine collects by itself as a heap grows. Any value will do;
 * this one tells ours from one that the user set.
 */
export const SLEEPER = { BUN_GC_TIMER_DISABLE: "llmfs" } as const;
