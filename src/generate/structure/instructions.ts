/**
 * What is sent to a model for a layout, in words.
 *
 * The texts are part of the requests' keys: a changed word invalidates the recordings of layouts.
 */
import { fence, toOneLine } from "../context/prompts.ts";
import { MOST_USES_ADVISED } from "./uses.ts";

/** Current models return this many files without losing track, and within the answer lengths of most servers. */
export const DEFAULT_FILES_PER_ANSWER = 200;

export interface InstructionOptions {
  /** Whether files name the files that they are written from. */
  readonly uses: boolean;
  /** The number of files above which a tree is laid out in several answers. */
  readonly filesPerAnswer: number;
}

/** The instructions of every layout request. */
export function structureInstructions({ uses, filesPerAnswer }: InstructionOptions): string {
  return `You lay out a directory tree from a description. You answer with JSON only. An example, for "a stack in Python, with a script that runs its tests":

${exampleAnswer(uses)}

- "files": every file, at least one, each with a description: one line, so exact that someone who sees only that line and the tree can write the file so that it fits the others. Name the functions, types, columns or sections it holds, and those of other files that it uses.
${uses ? USES : ""}- "directories": only directories that need a word: empty ones, and ones with a "prompt", which is an instruction that holds for every file below (conventions, language, units); "" if there is none. All others follow from the paths of the files.
- "symlinks": only if the description calls for them. A target is relative to the link's own directory and stays inside the tree.
- "executable": the paths of the files that are run by their own name, such as scripts.
- "unfinished": only when the tree is too large for one answer (more than about ${filesPerAnswer} files): directories whose content is worked out later, in a request of its own. For each, "brief" says what will be in it and how its files are named, and "files" about how many there will be. List no files below such a directory, unless there are no others to list.

Paths are relative to the root of the tree, with "/" between names and none at the beginning: "src/main.c". No ".", no "..", no empty names; a path occurs once; a name has at most 255 bytes.
Text files only: no images, archives, compiled or downloaded things, nothing that a build produces.
The files make one whole: what one imports, links to or mentions exists; a build file names the sources that are there. Give as many files as the description calls for, and no more.`;
}

const USES = `- "uses" of a file: the paths of the other files that must be written before it, because it imports, includes, calls, tests, documents, parses or quotes them. It is then written with their text in view. Only direct ones: usually none to three, at most ${MOST_USES_ADVISED}. Data, schemas, interfaces and headers use nothing. Never in a circle: the caller uses what it calls, the source its header, the test its subject, the README the program, and not the other way round.
`;

function exampleAnswer(uses: boolean): string {
  const file = (path: string, description: string, ...used: string[]) => ({
    path,
    description,
    ...(uses && { uses: used }),
  });
  return JSON.stringify({
    files: [
      file("stack.py", "class Stack: push(item), pop() -> item, raises IndexError when empty, __len__"),
      file(
        "tests/test_stack.py",
        "unittest of Stack: pop returns what was pushed last, pop when empty, len",
        "stack.py",
      ),
      file("run-tests", "sh script that runs python3 -m unittest discover tests"),
    ],
    directories: [],
    symlinks: [],
    executable: ["run-tests"],
    unfinished: [],
  });
}

/** The user's message of a request for a whole tree. */
export function structurePrompt(prompt: string): string {
  return `Lay out this tree:\n\n${prompt.trim()}`;
}

/** The user's message of a later round: the content of one directory that the first answer left unfinished. */
export function roundPrompt(prompt: string, outline: string, path: string, brief: string, files: number): string {
  return [structurePrompt(prompt), `The tree so far:\n\n${fence(outline)}`, roundTask(path, brief, files)].join("\n\n");
}

/** The end of that message. */
export function roundTask(path: string, brief: string, files: number): string {
  return `Now lay out the content of one directory only: ${path}\nWhat is in it: ${toOneLine(brief)}\nAbout ${files} files. Every path begins with "${path}/".`;
}
