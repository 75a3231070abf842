/** What our long-lived processes have in common. */

/**
 * Set in the environment of a process that sleeps most of its life. It disables Bun's garbage collection timer, which
 * would wake it up every second, later twice a minute. The engine still collects as the heap grows. Any value works;
 * this one distinguishes ours from one that the user set.
 */
export const SLEEPER = { BUN_GC_TIMER_DISABLE: "llmfs" } as const;
