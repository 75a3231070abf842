/**
 * Programs that copy and unpack files keep their times, and others go by times: what each leaves on a mount and prints is
 * what it leaves and prints on a tmpfs.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programs } from "../support/needs.ts";
import { execute, type Ground, llmfs, lowPower, missing, ordinary, tmpfs, unassisted } from "./ground.ts";

/** Made once, on the machine's own filesystem: `$S/src` has files with the time TIME, and the rest holds the same files. */
const SOURCES = `
mkdir -p src/dir deb/DEBIAN deb/usr
echo small > src/small; chmod 640 src/small
seq 100000 > src/large
echo below > src/dir/below
ln -s small src/link
printf 'all:\\n' > src/dir/Makefile
touch -h -d '2001-09-09 01:46:40.123456789 UTC' src/small src/large src/dir/* src/link src/dir src
tar --format=posix -cf src.tar -C src .
(cd src && zip -qry ../src.zip .)
gzip -k -n -c src/large > large.gz; touch -r src/large large.gz
printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n' > deb/DEBIAN/control
cp -a src deb/usr/
dpkg-deb -b --root-owner-group deb x.deb > /dev/null
`;

/** Each in an empty directory. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "cp -p": "cp -p $S/src/small $S/src/large .",
  "cp -p over files that are there": "echo old > small; cat small; cp -p $S/src/small small",
  "cp -a": "cp -a $S/src .",
  "cp --preserve=timestamps": "cp --preserve=timestamps $S/src/large .",
  "cp --attributes-only": "cp --attributes-only --preserve=all $S/src/large .",
  "mv from another filesystem": "cp -a $S/src $S/moved; mv $S/moved .",
  "install -p": "install -p -m 600 $S/src/large .",
  "tar -x": "tar -xf $S/src.tar",
  "tar -x by a pipe": "cat $S/src.tar | tar -x",
  "tar -x, over what is there": "tar -xf $S/src.tar; tar -xf $S/src.tar --overwrite",
  "dpkg-deb -x": "dpkg-deb -x $S/x.deb .",
  gzip: "cp -p $S/src/large .; gzip -n large",
  gunzip: "cp -p $S/large.gz .; gunzip large.gz",
  "rsync -a": "rsync -a $S/src/ to/",
  "rsync -a --inplace": "mkdir to; seq 10 > to/large; rsync -a --inplace --no-whole-file $S/src/ to/",
  "rsync -a again, which finds nothing to do": "rsync -a $S/src/ to/; rsync -ai $S/src/ to/",
  unzip: "unzip -q $S/src.zip",
  "touch -r": "echo new > file; touch -r $S/src/small file",
  "touch -d": "echo new > file; touch -d '2001-09-09 01:46:40.5 UTC' file",
  "python3 shutil": `python3 -c 'import os, shutil; s = os.environ["S"] + "/src"; shutil.copy2(s + "/large", "large"); shutil.copytree(s, "tree", symlinks=True)'`,
  "python3 mmap, os.utime": `cp $S/src/large .; python3 -c 'import mmap, os
with open("large", "r+b") as f:
  m = mmap.mmap(f.fileno(), 0); m[:5] = b"hello"
  os.utime(f.fileno(), ns=(5, 1000000000123456789)); m.close()'`,
  "sed -i":
    "cp -p $S/src/small .; sed -i s/small/large/ small; [ small -nt $S/src/small ]; touch -r $S/src/small small",
  // Filesystems stamp by ticks: what is to be newer has to come in another one.
  make: `printf 'out: in\\n\\tcp in out\\n' > Makefile; echo 1 > in; make -s; make; sleep 0.02; echo 2 > in; make; make
    cp -p in out; make; sleep 0.02; touch in; make; touch -r in out; make`,
  "git checkout, then make": `export HOME=$S; git init -q -b main .; git config user.email a@b.c; git config user.name a
    printf 'out: in\\n\\tcp in out\\n' > Makefile; echo 1 > in; git add .; git commit -qm 1; make -s; make; sleep 0.02
    git checkout -qb other; echo 2 > in; git commit -qam 2; make; make; git status --short; sleep 0.02
    git checkout -q main; make; git status --short; make; git diff --stat; rm -r .git Makefile in out`,
};

const KINDS = [llmfs, unassisted, ordinary, lowPower];

const lack = missing() ?? programs("dpkg-deb", "git", "gzip", "make", "python3", "rsync", "unzip", "zip");

describe.skipIf(lack !== undefined)(
  `programs that keep times, or go by them${lack === undefined ? "" : ` (${lack})`}`,
  () => {
    let right: Ground;
    let mounts: Ground[] = [];
    const sources = mkdtempSync(join(tmpdir(), "posix-sources-"));
    beforeAll(async () => {
      await execute(["sh", "-ec", SOURCES], "", sources);
      right = await tmpfs();
      mounts = await Promise.all(KINDS.map((start) => start()));
    });
    afterAll(async () => {
      for (const ours of mounts) await ours[Symbol.asyncDispose]();
      await right[Symbol.asyncDispose]();
      rmSync(sources, { recursive: true });
    });

    for (const [index, [name, script]] of Object.entries(PROGRAMS).entries()) {
      test(name, async () => {
        // A time that nothing has set is as new as it is. The size of a directory is the filesystem's affair.
        const shown = (time: string) => `-type d -printf '%y %m ${time} %p\\n' -o -printf '%y %m ${time} %s %p %l\\n'`;
        const look = `find . -mindepth 1 -newermt 2010-01-01 \\( ${shown("new")} \\) -o ${shown("%T@")}`;
        const all = `export S=${sources} LC_ALL=C; mkdir ${index}; cd ${index}; ${script}\n${look} | sort`;
        const expected = await right.sh(all);
        expect(expected).not.toBe("");
        for (const ours of mounts) expect([ours.name, await ours.sh(all)]).toEqual([ours.name, expected]);
      }, 60_000);
    }
  },
);
