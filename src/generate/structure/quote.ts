/** Shows names from a model in JSON notation, so that control characters are visible and have no effect. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

/** Shows a path as models write it, without a leading slash. */
export function quotePath(path: string): string {
  return quote(path.replace(/^\/(?=.)/, ""));
}
