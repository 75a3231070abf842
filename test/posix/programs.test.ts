/**
 * Programs that copy and unpack files keep their times, and others compare times: each must have the same results and
 * output on a mount as on a tmpfs.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programs } from "../support/needs.ts";
import { execute, type Ground, llmfs, lowPower, missing, ordinary, tmpfs, unassisted } from "./ground.ts";

/**
 * Created once, on the machine's own filesystem: `$S/src` has files from 2001, and the other directories have the same
 * files. They were last read in 2101, so that no read updates the atime, and programs that keep the atime have one to
 * keep.
 */
const SOURCES = `
mkdir -p src/dir deb/DEBIAN deb/usr
echo small > src/small; chmod 640 src/small
seq 100000 > src/large
echo below > src/dir/below
: > src/empty
truncate -s 1M src/sparse; echo middle | dd of=src/sparse bs=1 seek=500000 conv=notrunc status=none
ln -s small src/link
ln src/small src/hard
printf 'all:\\n' > src/dir/Makefile
find src -depth -exec touch -h -d '2001-09-09 01:46:40.123456789 UTC' {} +
tar --format=posix -cf src.tar -C src .
(cd src && zip -qry ../src.zip .)
(cd src && find . -mindepth 1 | cpio -o --quiet -H newc > ../src.cpio)
gzip -c src/large > large.gz; touch -r src/large large.gz
xz -0 -c src/large > large.xz; touch -r src/large large.xz
printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n' > deb/DEBIAN/control
cp -a src deb/usr/
dpkg-deb -b --root-owner-group deb x.deb > /dev/null
find src -depth -exec touch -h -a -d '2101-09-09 01:46:40.5 UTC' {} +
`;

const python = (script: string) => `python3 -c 'import mmap, os, shutil, subprocess, tarfile, zipfile
S = os.environ["S"]
SET = (5, 1000000000123456789)
${script}'`;

/** Each runs in an empty directory. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "cp -p": "cp -p $S/src/small $S/src/large $S/src/empty $S/src/sparse .",
  "cp -p over files that are there":
    "echo old > small; cat small; cp -p $S/src/small small; seq 200000 > large; cp -p $S/src/large large",
  "cp -p over a file that is written": "exec 3<> small; echo old >&3; cp -p $S/src/small small; exec 3>&-",
  "cp -p over a file that is mapped": python(`open("f", "wb").write(b"x" * 300000)
f = open("f", "r+b"); m = mmap.mmap(f.fileno(), 0); m[:3] = b"abc"
subprocess.check_call(["cp", "-p", S + "/src/small", "f"])
m.close(); f.close(); os.utime("f", ns=SET)`),
  "cp -a": "cp -a $S/src .",
  "cp -a within the mount":
    "cp -a $S/src .; rm src/empty; cp -a src again; cp -pl src/large hard; cp -p --sparse=always src/sparse .",
  "cp --preserve=timestamps": "cp --preserve=timestamps $S/src/large .",
  "cp --attributes-only": "cp --attributes-only --preserve=all $S/src/large .",
  "cp -pu": "cp -p $S/src/small .; cp -puv $S/src/small small; touch -d 1999-01-01 small; cp -pu $S/src/small small",
  "mv from another filesystem": "cp -a $S/src $S/moved; mv $S/moved .",
  "mv to another filesystem and back": "cp -a $S/src .; mv src $S/moved; mv $S/moved src",
  "install -p": "install -p -m 600 $S/src/large .; install -p -D $S/src/small a/b",
  "tar -x": "tar -xf $S/src.tar",
  "tar -x by a pipe": "cat $S/src.tar | tar -x",
  "tar -x, over what is there": "tar -xf $S/src.tar; tar -xf $S/src.tar --overwrite; tar -xf $S/src.tar",
  "tar -x of an archive in the mount": "cp $S/src.tar .; tar -xf src.tar; rm src.tar",
  "tar -S": "tar -C $S/src -S --format=gnu -cf - . | tar -x",
  "cpio -i": "cpio -idm --quiet < $S/src.cpio; mkdir s; cd s; cpio -idm --sparse --quiet < $S/src.cpio",
  "cpio -p":
    "cp -a $S/src .; cd src; find . -mindepth 1 -depth | cpio -pdm --quiet ../a; find . -depth | cpio -pdml --quiet ../b",
  "dpkg-deb -x": "dpkg-deb -x $S/x.deb .; dpkg -x $S/x.deb d",
  gzip: "cp -p $S/src/large .; gzip -n large",
  gunzip: "cp -p $S/large.gz .; gunzip large.gz; mkdir d; cp $S/large.gz d/a.gz; gunzip -N d/a.gz",
  "xz, unxz": "cp -p $S/src/large .; xz -0 large; mv large.xz a.xz; cp -p $S/large.xz .; unxz large.xz",
  "rsync -a": "rsync -a $S/src/ to/",
  "rsync -aHUS": "rsync -aHUS $S/src/ to/; rsync -aHUSi $S/src/ to/",
  "rsync -a --inplace":
    "mkdir to; seq 10 > to/large; rsync -a --inplace --no-whole-file $S/src/ to/; rsync -ai --inplace $S/src/ to/",
  "rsync -a --append":
    "mkdir to; head -c 1000 $S/src/large > to/large; rsync -a --append $S/src/ to/; rsync -ai $S/src/ to/",
  "rsync -a again, which finds nothing to do": "rsync -a $S/src/ to/; rsync -ai $S/src/ to/; rsync -aci to/ $S/src/",
  "rsync -a --link-dest": "rsync -a $S/src/ a/; rsync -a --link-dest=../a $S/src/ b/; [ a/large -ef b/large ]",
  unzip: "unzip -q $S/src.zip; unzip -qo $S/src.zip",
  "touch -r": "echo new > file; touch -r $S/src/small file",
  "touch -d": "echo new > file; touch -d '2001-09-09 01:46:40.5 UTC' file",
  "touch of a descriptor":
    "exec 3> f; echo x >&3; touch -d @5.5 /dev/fd/3; exec 3>&-; exec 4>> g; echo x >&4; touch -r $S/src/small g; exec 4>&-",
  "truncate, dd, fallocate": `truncate -r $S/src/large f; touch -d @4 f; truncate -s +5 f; [ f -nt $S/src/large ]; touch -d @4.1 f
    dd if=/dev/zero of=f bs=1k count=1 conv=notrunc status=none; [ f -nt $S/src/large ]; touch -d @4.2 f
    fallocate -l 1M f; [ f -nt $S/src/large ]; touch -d @4.3 f; fallocate -p -o 0 -l 4096 f; [ f -nt $S/src/large ]; touch -d @4.4 f`,
  "busybox cp, mv, touch, sed -i": `busybox cp -p $S/src/small $S/src/large .; busybox cp -a $S/src $S/moved; busybox mv $S/moved a
    echo x > f; busybox touch -r $S/src/small f; busybox sed -i s/x/z/ f; [ f -nt small ]; busybox touch -d @5 f`,
  "busybox tar, unzip, cpio, gzip": `mkdir t z c; (cd t; busybox tar -xf $S/src.tar); (cd z; busybox unzip -qo $S/src.zip)
    (cd c; busybox cpio -idm < $S/src.cpio 2> /dev/null); cp -p $S/src/large .; busybox gzip large; busybox gunzip large.gz`,
  "python3 shutil, tarfile, zipfile":
    python(`shutil.copy2(S + "/src/large", "large"); shutil.copytree(S + "/src", "tree", symlinks=True)
shutil.move("tree", "moved"); shutil.copystat(S + "/src/small", "large")
tarfile.open(S + "/src.tar").extractall("t"); zipfile.ZipFile(S + "/src.zip").extractall("z")`),
  "python3 os.utime":
    python(`f = open("f", "wb", buffering=0); f.write(b"x" * 100000); os.utime(f.fileno(), ns=SET); f.close()
f = open("g", "wb", buffering=0); f.write(b"x"); os.fsync(f.fileno()); os.utime("g", ns=SET); f.write(b""); f.close()
os.mkdir("d"); open("d/f", "w").write("x"); os.utime("d", ns=SET); os.utime("d/f", (4, 4))
os.link("g", "h"); os.rename("h", "i"); os.chmod("i", 0o600); os.utime("f", ns=(-1500000000, -1))`),
  "python3 mmap, os.utime": python(`for name, size in (("small", 10), ("page", 5000), ("large", 300000)):
  f = open(name, "w+b"); f.write(b"z" * size); f.flush(); m = mmap.mmap(f.fileno(), 0); m[:5] = b"hello"
  os.utime(f.fileno(), ns=SET); m.close(); f.close()
  f = open(name, "r+b"); m = mmap.mmap(f.fileno(), 0); f.close(); m[:5] = b"again"; os.utime(name, ns=SET); m.close()`),
  "perl utime": `perl -e 'open F, ">a"; print F "x"; close F; utime undef, 1000000000, "a"; open F, "+<a"; print F "y"; close F;
    -M "a" < 1 or die; utime 5, 6, "a"; open F, "+<a"; utime 7, 8, F; close F'`,
  "perl telldir": `perl -e 'for (1..30) { open F, ">", $_; close F } opendir D, "."; do { push @at, telldir D } while defined readdir D;
    print scalar(grep { $_ > $at[-1] } @at), " of ", scalar(@at), " after the end; "; pop @at; ($last) = sort { $b <=> $a } @at;
    print "$_ " for grep { seekdir D, $_; not defined readdir D } 0..$last'`,
  "node fs": `node -e 'const fs = require("fs"); const S = process.env.S
    fs.cpSync(S + "/src/dir", "d", { recursive: true, preserveTimestamps: true }); fs.copyFileSync(S + "/src/large", "b"); fs.utimesSync("b", 5, 6.5)
    const f = fs.openSync("c", "w"); fs.writeSync(f, "x"); fs.futimesSync(f, 7, 8.25); fs.closeSync(f)'`,
  "sed -i":
    "cp -p $S/src/small .; sed -i s/small/large/ small; [ small -nt $S/src/small ]; touch -r $S/src/small small",
  patch: `cp -p $S/src/small .; printf -- '--- a/small\\t2001-09-09 01:46:40.123456789 +0000\\n+++ b/small\\t2002-09-09 01:46:40.5 +0000\\n@@ -1 +1 @@\\n-small\\n+big\\n' > p
    patch -Z -p1 < p; stat -c %y small; patch -Z -R -p1 < p; patch -b -p1 < p; [ small -nt $S/src/small ]; touch -d @9 small p`,
  "hard links": `echo x > a; ln a b; touch -d @5.000000005 a; stat -c %y b; mv a c; exec 3>> c; echo y >&3
    stat -c %Y b > $S/b; stat -c %Y c | cmp - $S/b; touch -d @6 b; stat -c %y b c; exec 3>&-; stat -c %y b c`,
  "test -nt": `for i in $(seq 40); do exec 3> w$i; echo x >&3; echo y > n$i; [ ! w$i -nt n$i ] || echo newer; exec 3>&-; done
    for i in $(seq 2 40); do [ ! n$i -ot w$((i - 1)) ] || echo older; done; touch -d @2 *`,
  "ls -t": `for i in 1 2 3 4 5 6; do echo $i > f$i; sleep 0.02; done; for i in 5 1 3; do exec 3>> f$i; echo x >&3; sleep 0.02; done
    ls -t; exec 3>&-; ls -t; touch -d @2 *`,
  // Filesystems stamp by ticks, so a file is newer only if it is changed in a later tick.
  make: `printf 'out: in\\n\\tcp in out\\n' > Makefile; echo 1 > in; make -s; make; sleep 0.02; echo 2 > in; make; make
    cp -p in out; make; sleep 0.02; touch in; make; touch -r in out; make`,
  "git checkout, then make": `export HOME=$S; git init -q -b main .; git config user.email a@b.c; git config user.name a
    printf 'out: in\\n\\tcp in out\\n' > Makefile; echo 1 > in; git add .; git commit -qm 1; make -s; make; sleep 0.02
    git checkout -qb other; echo 2 > in; git commit -qam 2; make; make; git status --short; sleep 0.02
    git checkout -q main; make; git status --short; make; git diff --stat; rm -r .git Makefile in out`,
  "git stash, clone, archive": `export HOME=$S; git init -q r; cd r; git config user.email a@b.c; git config user.name a; cp -p $S/src/large $S/src/small .; git add .
    GIT_COMMITTER_DATE='2001-09-09T01:46:40Z' git commit -qm 1; echo 2 > small; git status --short; git stash -q; git status --short
    git stash pop -q; git status --short; git checkout -q .; git diff-files; git archive HEAD | tar -x -C ..; git clone -q . ../c
    cd ../c; git status --short; git diff-files; cd ..; rm -r r c`,
};

const KINDS = [llmfs, unassisted, ordinary, lowPower];

const lack =
  missing() ??
  programs(
    ...[
      "busybox",
      "cpio",
      "dpkg-deb",
      "git",
      "gzip",
      "make",
      "node",
      "patch",
      "perl",
      "python3",
      "rsync",
      "unzip",
      "xz",
      "zip",
    ],
  );

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
        // A time that nothing has set is printed as new. The size of a directory depends on the filesystem.
        const shown = ["-type d -printf '%y %m %p m%T@\\n'", "-printf '%y %m %n %s %p %l m%T@ a%A@\\n'"].join(" -o ");
        const look = `cd $HERE; find . -mindepth 1 ${shown} | sed -E 's/ ([am])(1[7-9]|2)[0-9]{8}\\.[0-9]+/ \\1new/g' | sort`;
        const all = `export S=${sources} LC_ALL=C; mkdir ${index}; cd ${index}; export HERE=$PWD; ${script}\n${look}`;
        const expected = await right.sh(all);
        expect(expected).not.toBe("");
        for (const ours of mounts) expect([ours.name, await ours.sh(all)]).toEqual([ours.name, expected]);
      }, 60_000);
    }
  },
);
