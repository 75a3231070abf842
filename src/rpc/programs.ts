/** How a mount treats the programs that use it. All of it is plain data. */
export interface ProgramSettings {
  /** The programs for which stat(2) generates a pending file: "PROGRAM" or "PROGRAM COMMAND". */
  readonly statGenerates: readonly string[];
}
