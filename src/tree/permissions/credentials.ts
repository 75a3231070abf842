/** Whose permissions are asked about. */
export interface Credentials {
  readonly uid: number;
  /** Whether the group is one of those that it has. */
  inGroup(gid: number): boolean;
}
