/**
 * mountx with its in-memory driver and its default options.
 *
 *   bun mountx.ts SOURCES MOUNTPOINT
 */
const [, , sources, mountpoint] = process.argv;
const { mount } = await import(`${sources}/src/fuse/index.ts`);
const { createMemoryDriver } = await import(`${sources}/src/drivers/memory.ts`);
await mount(createMemoryDriver(), mountpoint);

export {};
