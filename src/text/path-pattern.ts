/**
 * Matches paths against patterns with wildcards, in time proportional to the product of both lengths at most.
 *
 * An equivalent regular expression can take time proportional to the name's length to the power of the number of
 * wildcards. Patterns are matched by the thread that answers the kernel, and names come from any user. So regular
 * expressions are used only for patterns with few wildcards. The syntax is in generators/pattern.ts.
 */

export type PatternPiece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "choice"; readonly texts: readonly string[] }
  | { readonly kind: "star" | "one" | "deep" };

/** Throws an Error that says what is wrong with the pattern. Leading slashes are ignored. */
export function piecesOf(written: string): PatternPiece[] {
  const source = written.replace(/^\/+/, "");
  if (source === "" || source.endsWith("/"))
    throw new Error("a match is the path of a file; it must not be empty or end in /");
  const pieces: PatternPiece[] = [];
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
 * A step of matching. `within` stays in one name, `parts` matches whole directories with their slashes, `all` crosses
 * slashes; each matches as much as possible. `named` matches at least one character and as little as possible.
 */
type PatternStep =
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | { readonly kind: "one" | "within" | "named" | "parts" | "all" };

export class PathPattern {
  readonly #steps: readonly PatternStep[];
  /** An equivalent regular expression, if it is fast. */
  readonly #expression: RegExp | undefined;

  constructor(pieces: readonly PatternPiece[]) {
    this.#steps = [{ kind: "texts", texts: ["/"] }, ...pieces.map(stepOf)];
    if (isSimple(this.#steps)) this.#expression = new RegExp(`^${this.#steps.map(expressionOf).join("")}$`, "su");
  }

  matches(path: string): boolean {
    return this.#expression?.test(path) ?? this.#table(path) !== undefined;
  }

  /** Returns the values of the named parts, in order; undefined if the path does not match. */
  parts(path: string): readonly string[] | undefined {
    if (this.#expression !== undefined) return this.#expression.exec(path)?.slice(1);
    const table = this.#table(path);
    if (table === undefined) return undefined;
    const parts: string[] = [];
    let at = 0;
    for (const [index, step] of this.#steps.entries()) {
      const next = findStepEnd(path, step, at, (end) => table.fits(index + 1, end));
      if (step.kind === "named") parts.push(path.slice(at, next));
      at = next;
    }
    return parts;
  }

  /** For each step, the positions from which the rest of the path matches; undefined if the whole does not match. */
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

function stepOf(piece: PatternPiece, index: number, pieces: readonly PatternPiece[]): PatternStep {
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

/**
 * Two wildcards in a name, and one for whole directories: at worst quadratic in the length of a name, or in the depth
 * of the path.
 */
const MOST_IN_NAME = 2;
const MOST_CHOICES = 3;

function isSimple(steps: readonly PatternStep[]): boolean {
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

function expressionOf(step: PatternStep): string {
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

  /** Computes the row of a step from the row of the next step. */
  fill(row: number, step: PatternStep, path: string): void {
    /** Whether the step, having matched more, can be followed by the rest. */
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
          // A name has at least one character, so none starts at a slash.
          further = slash ? this.fits(row, at + 1) : further;
          if (below || (further && !slash)) this.set(row, at);
          continue;
      }
      if (further) this.set(row, at);
    }
  }
}

const SLASH = 0x2f;

/** Where a step that begins at `at` ends: of the positions that the rest accepts, the one that the step prefers. */
function findStepEnd(path: string, step: PatternStep, at: number, fits: (end: number) => boolean): number {
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

/** Two for a character beyond the basic plane, otherwise one. */
function unitsAt(path: string, at: number): number {
  return (path.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
