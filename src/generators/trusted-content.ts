/**
 * Checks that a configuration still has the content that the user trusts. It is read again when a mount loads it, and
 * whenever the helper process that runs its code starts again. By then, the file may have changed.
 */

/** A configuration file, and the digest of its content if it is trusted with no other. */
export interface ConfigurationFile {
  readonly file: string;
  readonly digest?: string;
}

export function digestOf(content: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(content).digest("hex");
}

/** Throws an Error if this is not the digest of the content. Without a digest, any content is trusted. */
export function requireTrusted({ file, digest }: ConfigurationFile, read: () => Uint8Array): void {
  if (digest === undefined || digestOf(read()) === digest) return;
  throw new Error(
    `${file} has changed since you trusted it; read it, run "llmfs trust", and start the command or the mount again`,
  );
}
