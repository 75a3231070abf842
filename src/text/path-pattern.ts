/**
 * Matching paths against patterns with wildcards, in time by the product of both lengths at the most.
 *
 * A regular expression of the same meaning takes time by a power of a name's length, one for each wildcard; patterns are
 * matched by the thread that answers the kernel, and names come from anybody. So it is used for patterns with few
 * wildcards only. The syntax is in generators/pattern.ts.
 */

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "choice"; readonly texts: readonly string[] }
  | { readonly kind: "star" | "one" | "deep" };

/** Throws Error with what is wrong with the pattern. Slashes at its beginning mean nothing. */
export function piecesOf(written: string): Piece[] {
  const source = written.replace(/^\/+/, "");
  if (source === "" || source.endsWith("/")) throw new Error("a match is the path of files, and does not end in /");
  const pieces: Piece[] = [];
  const token = /(\*\*)|(\*)|(\?)|\{([^{}]*)\}|([^*?{}]+)|([{}])/gsu;
  for (const [all, deep, star, one, braces, text] of source.matchAll(token)) {
    if (deep !== undefined) pieces.push({ kind: "deep" });
    else if (star !== undefined) pieces.push({ kind: "star" });
    else if (one !== undefined) pieces.push({ kind: "one" });
    else if (text !== undefined) pieces.push({ kind: "text", text });
    else if (braces === undefined) throw new Error(`${JSON.stringify(all)} without its other half in ${source}`);
    else if (braces.includes(",")) pieces.push({ kind: "choice", texts: braces.split(",") });
    else if (/^[a-zA-Z_]\w*$/.test(braces)) pieces.push({ kind: "name", name: braces });
    else throw new Error(`${JSON.stringify(all)} in ${source}: a name is made of letters, digits and _`);
  }
  return pieces;
}

/**
 * A step of matching. `within` stays in one name, `parts` takes whole directories with their slashes, `all` crosses
 * slashes; each takes as much as it can, `named` at least one character and as little as it can.
 */
type Step =
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | { readonly kind: "one" | "within" | "named" | "parts" | "all" };

export class PathPattern {
  readonly #steps: readonly Step[];
  /** The same as a regular expression, where that is soon matched. */
  readonly #expression: RegExp | undefined;

  constructor(pieces: readonly Piece[]) {
    this.#steps = [{ kind: "texts", texts: ["/"] }, ...pieces.map(stepOf)];
    if (isSimple(this.#steps)) this.#expression = new RegExp(`^${this.#steps.map(expressionOf).join("")}$`, "su");
  }

  matches(path: string): boolean {
    return this.#expression?.test(path) ?? this.#table(path) !== undefined;
  }

  /** What the named parts stand for, in their order; undefined if the path does not fit. */
  parts(path: string): readonly string[] | undefined {
    if (this.#expression !== undefined) return this.#expression.exec(path)?.slice(1);
    const table = this.#table(path);
    if (table === undefined) return undefined;
    const parts: string[] = [];
    let at = 0;
    for (const [index, step] of this.#steps.entries()) {
      const next = ending(path, step, at, (end) => table.fits(index + 1, end));
      if (step.kind === "named") parts.push(path.slice(at, next));
      at = next;
    }
    return parts;
  }

  /** From which places the rest of the path fits the rest of the steps; undefined if the whole does not. */
  #table(path: string): Table | undefined {
    const table = new Table(this.#steps.length + 1, path.length + 1);
    table.set(this.#steps.length, path.length);
    for (let index = this.#steps.length - 1; index >= 0; index--) {
      const step = this.#steps[index];
      if (step !== undefined) table.fill(index, step, path);
    }
    return table.fits(0, 0) ? table : undefined;
  }
}

function stepOf(piece: Piece, index: number, pieces: readonly Piece[]): Step {
  switch (piece.kind) {
    case "text":
      // The slash after a "**" is part of what may be absent.
      return {
        kind: "texts",
        texts: [pieces[index - 1]?.kind === "deep" ? piece.text.replace(/^\//, "") : piece.text],
      };
    case "choice":
      return { kind: "texts", texts: piece.texts };
    case "name":
      return { kind: "named" };
    case "star":
      return { kind: "within" };
    case "one":
      return { kind: "one" };
    case "deep": {
      const next = pieces[index + 1];
      return { kind: next?.kind === "text" && next.text.startsWith("/") ? "parts" : "all" };
    }
  }
}

/** Two wildcards in a name, and one for whole directories: at worst the square of a name's length, or of the path's depth. */
const MOST_IN_NAME = 2;
const MOST_CHOICES = 3;

function isSimple(steps: readonly Step[]): boolean {
  let [inName, choices, parts] = [0, 0, 0];
  for (const [index, step] of steps.entries()) {
    if (step.kind === "within" || step.kind === "named") inName += 1;
    else if (step.kind === "parts") parts += 1;
    else if (step.kind === "all" && index < steps.length - 1) return false;
    else if (step.kind === "texts") {
      choices += step.texts.length > 1 ? 1 : 0;
      if (step.texts.every((text) => text.includes("/"))) inName = 0;
    }
    if (inName > MOST_IN_NAME || choices > MOST_CHOICES || parts > 1) return false;
  }
  return true;
}

function expressionOf(step: Step): string {
  switch (step.kind) {
    case "texts":
      return `(?:${step.texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|")})`;
    case "one":
      return "[^/]";
    case "within":
      return "[^/]*";
    case "named":
      return "([^/]+?)";
    case "parts":
      return "(?:[^/]+/)*";
    case "all":
      return ".*";
  }
}

class Table {
  readonly #cells: Uint8Array;
  readonly #columns: number;

  constructor(rows: number, columns: number) {
    this.#cells = new Uint8Array(rows * columns);
    this.#columns = columns;
  }

  fits(row: number, column: number): boolean {
    return this.#cells[row * this.#columns + column] === 1;
  }

  set(row: number, column: number): void {
    this.#cells[row * this.#columns + column] = 1;
  }

  /** The row of a step, from the one after it. */
  fill(row: number, step: Step, path: string): void {
    /** Whether the step, with what it took further on, can be followed by the rest. */
    let further = false;
    for (let at = path.length; at >= 0; at--) {
      // No step begins or ends within a character.
      if (at > 0 && unitsAt(path, at - 1) === 2) continue;
      const slash = path.charCodeAt(at) === SLASH;
      const below = this.fits(row + 1, at);
      switch (step.kind) {
        case "texts":
          further = step.texts.some((text) => path.startsWith(text, at) && this.fits(row + 1, at + text.length));
          break;
        case "one":
          further = at < path.length && !slash && this.fits(row + 1, at + unitsAt(path, at));
          break;
        case "within":
          further = below || (further && !slash);
          break;
        case "named":
          further = at < path.length && !slash && (this.fits(row + 1, at + unitsAt(path, at)) || further);
          break;
        case "all":
          further ||= below;
          break;
        case "parts":
          // A name has a character at least: a slash begins none.
          further = slash ? this.fits(row, at + 1) : further;
          if (below || (further && !slash)) this.set(row, at);
          continue;
      }
      if (further) this.set(row, at);
    }
  }
}

const SLASH = 0x2f;

/** Where a step ends that begins at `at`: the place it prefers of those that the rest fits. There is one. */
function ending(path: string, step: Step, at: number, fits: (end: number) => boolean): number {
  switch (step.kind) {
    case "texts":
      for (const text of step.texts) if (path.startsWith(text, at) && fits(at + text.length)) return at + text.length;
      break;
    case "one":
      return at + unitsAt(path, at);
    case "named":
      for (let end = at + 1; end <= path.length; end++) if (fits(end)) return end;
      break;
    case "all":
      for (let end = path.length; end >= at; end--) if (fits(end)) return end;
      break;
    case "within": {
      const name = path.indexOf("/", at);
      for (let end = name < 0 ? path.length : name; end >= at; end--) if (fits(end)) return end;
      break;
    }
    case "parts": {
      let last = fits(at) ? at : undefined;
      for (
        let end = path.indexOf("/", at);
        end > 0 && path.charCodeAt(end - 1) !== SLASH;
        end = path.indexOf("/", end + 1)
      ) {
        if (fits(end + 1)) last = end + 1;
      }
      if (last !== undefined) return last;
    }
  }
  throw new Error(`no end for a part of ${path} that fits`);
}

/** Two for a character beyond the basic plane. */
function unitsAt(path: string, at: number): number {
  return (path.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
