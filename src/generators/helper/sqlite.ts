export function querySqlite(..._: unknown[]): void {}
