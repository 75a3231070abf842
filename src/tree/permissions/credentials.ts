/** The user and groups for which permissions are checked. */
export interface Credentials {
  readonly uid: number;
  /** Whether the group is one of the user's. */
  inGroup(gid: number): boolean;
}
