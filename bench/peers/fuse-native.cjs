/**
 * fuse-native, passing each request on to a directory with Node's functions.
 *
 *   node fuse-native.cjs NODE_MODULES SOURCE MOUNTPOINT
 */
const fs = require("node:fs");
const { errno } = require("node:os").constants;
const { createRequire } = require("node:module");

const [, , modules, source, mountpoint] = process.argv;
const Fuse = createRequire(`${modules}/`)("fuse-native");

const at = (path) => source + path;
const codeOf = (error) => -(errno[error.code] ?? errno.EIO);
/** Passes on a success without a value. */
const done = (reply) => (error) => reply(error ? codeOf(error) : 0);
const valued = (reply) => (error, value) => (error ? reply(codeOf(error)) : reply(0, value));
/** Reading and writing answer with the number of bytes. */
const counted = (reply) => (error, count) => reply(error ? codeOf(error) : count);

const fuse = new Fuse(
  mountpoint,
  {
    getattr: (path, reply) => fs.lstat(at(path), valued(reply)),
    fgetattr: (_path, fd, reply) => fs.fstat(fd, valued(reply)),
    access: (path, mode, reply) => fs.access(at(path), mode, done(reply)),
    readdir: (path, reply) => fs.readdir(at(path), valued(reply)),
    readlink: (path, reply) => fs.readlink(at(path), valued(reply)),
    open: (path, flags, reply) => fs.open(at(path), flags, valued(reply)),
    create: (path, mode, reply) => fs.open(at(path), "wx+", mode, valued(reply)),
    read: (_path, fd, buffer, length, position, reply) => fs.read(fd, buffer, 0, length, position, counted(reply)),
    write: (_path, fd, buffer, length, position, reply) => fs.write(fd, buffer, 0, length, position, counted(reply)),
    release: (_path, fd, reply) => fs.close(fd, done(reply)),
    truncate: (path, size, reply) => fs.truncate(at(path), size, done(reply)),
    ftruncate: (_path, fd, size, reply) => fs.ftruncate(fd, size, done(reply)),
    utimens: (path, atime, mtime, reply) => fs.lutimes(at(path), atime / 1000, mtime / 1000, done(reply)),
    chmod: (path, mode, reply) => fs.chmod(at(path), mode & 0o7777, done(reply)),
    chown: (path, uid, gid, reply) => fs.lchown(at(path), uid, gid, done(reply)),
    mkdir: (path, mode, reply) => fs.mkdir(at(path), { mode }, done(reply)),
    rmdir: (path, reply) => fs.rmdir(at(path), done(reply)),
    unlink: (path, reply) => fs.unlink(at(path), done(reply)),
    rename: (from, to, reply) => fs.rename(at(from), at(to), done(reply)),
    link: (from, to, reply) => fs.link(at(from), at(to), done(reply)),
    symlink: (target, path, reply) => fs.symlink(target, at(path), done(reply)),
    mknod: (path, mode, _device, reply) =>
      fs.open(at(path), "wx", mode, (error, fd) => (error ? reply(codeOf(error)) : fs.close(fd, done(reply)))),
    statfs: (_path, reply) =>
      fs.statfs(source, (error, { bsize, blocks, bfree, bavail, files, ffree } = {}) =>
        error
          ? reply(codeOf(error))
          : reply(0, { bsize, frsize: bsize, blocks, bfree, bavail, files, ffree, favail: ffree, namemax: 255 }),
      ),
  },
  { defaultPermissions: true },
);
fuse.mount((error) => {
  if (error) throw error;
});
