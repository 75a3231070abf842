import { expect, test } from "bun:test";
import {
  defaultRecordings,
  parseRedis,
  parseS3,
  schemeOf,
  secretsInAddress,
  withoutSecrets,
} from "../../../src/recording/stores/address.ts";

const secret = "hunter2";

test("a Redis address names host, port, database, user and prefix", () => {
  expect(parseRedis(`redis://ci:${secret}@cache:6380/2?prefix=teamA`)).toEqual({
    kind: "server",
    hosts: [{ host: "cache", port: 6380 }],
    db: 2,
    username: "ci",
    password: secret,
    prefix: "teamA",
    name: "redis://cache:6380/2",
  });
  expect(parseRedis("redis://[::1]")).toMatchObject({ hosts: [{ host: "::1", port: 6379 }], prefix: "llmfs" });
  expect(parseRedis("redis+unix:///run/a%20b.sock")).toMatchObject({ socket: "/run/a b.sock", hosts: [] });
});

test("addresses of Sentinels and clusters, and certificates in addresses, are parsed", () => {
  const tls = { ca: "/ca.pem", cert: "/c.pem", key: "/k.pem" };
  const address = `rediss+sentinel://:${secret}@a:1,b/main/3?sentinel-password=also&tls-ca=/ca.pem&tls-cert=/c.pem&tls-key=/k.pem`;
  expect(parseRedis(address)).toMatchObject({
    kind: "sentinel",
    hosts: [
      { host: "a", port: 1 },
      { host: "b", port: 6379 },
    ],
    master: "main",
    db: 3,
    sentinelPassword: "also",
    tls,
    name: "rediss+sentinel://a:1,b/main/3",
  });
  expect(parseRedis("redis+cluster://a,b,c")).toMatchObject({ kind: "cluster", hosts: [{}, {}, {}] });
  expect(parseRedis("rediss://a").tls).toEqual({});
  expect(withoutSecrets(address)).toBe("rediss+sentinel://a:1,b/main/3?tls-ca=/ca.pem&tls-cert=/c.pem&tls-key=/k.pem");
  expect(secretsInAddress(address)).toEqual([secret, "also", secret]);
});

test("a password with characters that have a meaning in URLs works if they are escaped", () => {
  const address = "redis://:p%40ss%231@HOST";
  expect(parseRedis(address)).toMatchObject({ password: "p@ss#1", hosts: [{ host: "HOST" }] });
  expect(secretsInAddress(address)).toEqual(["p@ss#1", "p%40ss%231"]);
  expect(withoutSecrets(address)).toBe("redis://HOST");
});

for (const password of ["p@zq#1", "p@zq", "p#zq", "p/zq", "p?zq", "p[zq", "p%zq", "p zq", "a@b@c", "x?prefix=@y"]) {
  test(`an unescaped password ${password} is an error that shows the cure and no part of the password`, () => {
    for (const scheme of ["redis", "rediss", "redis+sentinel", "redis+cluster", "redis+unix"]) {
      let message = "";
      try {
        schemeOf(`${scheme}://:${password}@cache.example/0`);
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/%40 for @|%25 for %/);
      for (const part of password.split(/[@#/?[%\s=]/).filter((part) => part.length > 1 && part !== "prefix")) {
        expect(message).not.toContain(part);
      }
      expect(message).not.toContain("cache.example");
    }
  });
}

test("invalid parts of an address are errors", () => {
  const wrong: readonly (readonly [address: string, reason: string])[] = [
    ["redis://HOST?prefx=teamA", 'unknown parameter after "?"; did you mean "prefix"?'],
    ["redis+sentinel://HOST/main?sentinel-pasword=x", 'did you mean "sentinel-password"?'],
    ["rediss://HOST?tls_ca=x", 'did you mean "tls-ca"?'],
    ["redis://HOST?nonsense=teamA", "expected prefix, tls-ca"],
    ["s3://BUCKET?prefx=teamA", "the prefix is the path after the bucket: write s3://BUCKET/PREFIX"],
    ["s3://BUCKET/x?enpoint=http://h", "set AWS_ENDPOINT_URL"],
    ["redis://HOST/zero", "number of a database"],
    ["redis://HOST:99999", "no valid host and port"],
    ["redis://", "no valid host and port"],
    ["redis://a,b", "redis+sentinel://"],
    ["redis+sentinel://a,b", "master's name"],
    ["redis+cluster://a/1", "only database 0"],
    ["redis://HOST?tls-ca=/ca.pem", "need rediss://"],
    ["rediss://HOST?tls-cert=/c.pem", "need each other"],
    ["redis://HOST#1", "%23 for #"],
    [`s3://key:${secret}@bucket/x`, "AWS_ACCESS_KEY_ID"],
    ["s3://bucket/x?prefix=y", "the prefix is the path"],
    ["s3://bucket/x?y", "only a bucket and a prefix"],
    ["s3:///x", "bucket name is missing"],
    ["ftp://x/y", "redis:// or s3://"],
  ];
  for (const [address, reason] of wrong) {
    expect(() => schemeOf(address)).toThrow(reason);
    try {
      schemeOf(address);
    } catch (error) {
      expect(String(error)).not.toContain(secret);
    }
  }
});

test("an S3 address has a bucket and a prefix", () => {
  expect(parseS3("s3://bucket/a%20b/c/")).toEqual({ bucket: "bucket", prefix: "a b/c", name: "s3://bucket/a%20b/c" });
  expect(parseS3("s3://bucket")).toEqual({ bucket: "bucket", prefix: "", name: "s3://bucket" });
  expect(schemeOf("./fixtures")).toBeUndefined();
});

test("the default folder is in the user's cache directory", () => {
  expect(defaultRecordings({ home: "/home/a" })).toBe("/home/a/.cache/llmfs/recordings");
  expect(defaultRecordings({ home: "/home/a", xdgCacheHome: "/var/c" })).toBe("/var/c/llmfs/recordings");
  expect(defaultRecordings({ home: "/home/a", xdgCacheHome: "c" })).toBe("/home/a/.cache/llmfs/recordings");
});
