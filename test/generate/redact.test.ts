import { describe, expect, test } from "bun:test";
import { redact } from "../../src/generate/redact.ts";

const AWS_SECRET = `wJalrXUtnFEMI/K7MDENG/${"bPxRfiCYzzYYZKQaaa"}`;

// Put together here, so that no file of the repository holds what a scanner would report.
const SECRETS: Readonly<Record<string, string>> = {
  "GitHub token": `ghp_${"a1B2".repeat(9)}`,
  "OpenAI key": `sk-proj-${"a1B2".repeat(18)}ABT3BlbkFJ${"c3D4".repeat(18)}AB`,
  "AWS access key": `AWS_SECRET_ACCESS_KEY=${"wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzEXAMPLEK"}`,
  "AWS access key id": `AKIA${"IOSFODNN7ABCDEFG"}`,
  "fine-grained GitHub token": `github_pat_${"11ABCDEFG0aBcDeF".repeat(4)}`,
  "short OpenAI key": `sk-proj-${"AbCdEfGh1234IjKl".repeat(3)}`,
  "Google API key": `AIza${"SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"}`,
  "JSON web token": `eyJ${"hbGciOiJIUzI1NiJ9"}.eyJ${"zdWIiOiIxMjM0NTY3"}.SflKxwRJSMeKKF2QT4fwpM`,
  "PyPI token": `pypi-${"AgEIcHlwaS5vcmcCJDNmYTg1ZjY0LTU3"}`,
  "Twilio key": `SK${"0123456789abcdef".repeat(2)}`,
  "OpenSSH key": `-----BEGIN OPENSSH ${"PRIVATE"} KEY-----\n${"b3BlbnNz".repeat(9)}\n-----END OPENSSH ${"PRIVATE"} KEY-----`,
  "private key that is cut": `-----BEGIN EC ${"PRIVATE"} KEY-----\n${"MHcCAQEE".repeat(9)}`,
  "private key": `-----BEGIN RSA ${"PRIVATE"} KEY-----\n${"MIIE".repeat(30)}\n-----END RSA ${"PRIVATE"} KEY-----`,
  "Slack token": `xoxb-${"1".repeat(12)}-${"2".repeat(13)}-${"aB3d".repeat(6)}`,
  "password in a URL": `https://admin:${"hunter2hunter2"}@db.example.org/x`,
};

/** What a name or an address calls a secret: the text, and the secret in it. */
const NAMED: Readonly<Record<string, readonly [text: string, secret: string]>> = {
  "an AWS key in an .ini file": [`aws_secret_access_key = ${AWS_SECRET}\n`, AWS_SECRET],
  "a password in .env": ["DB_PASSWORD=correct-horse-battery\n", "correct-horse-battery"],
  "a password in YAML": ["db:\n  password: hunter2!\n", "hunter2!"],
  "a password in a program": ["const password = 'hunter2-very';\n", "hunter2-very"],
  "a client secret in JSON": ['{"client_secret": "abcDEF123456"}\n', "abcDEF123456"],
  "a token in .npmrc": ["//registry.npmjs.org/:_authToken=3fa85f64-5717-4562\n", "3fa85f64-5717-4562"],
  "a password in the address of a queue": ["amqp://u:p4ssw0rdQQ@mq:5672\n", "p4ssw0rdQQ"],
  "a password without a user": ["redis://:r3d1sPassw0rd@cache:6379/0\n", "r3d1sPassw0rd"],
  "a key in an address": ["curl 'https://x.test/v1?page=2&api_key=Kq7xPz93mWvB&limit=1'\n", "Kq7xPz93mWvB"],
  "a password before a command": ["  A=1 PGPASSWORD=Kq7xPz93mWvB psql -h db\n", "Kq7xPz93mWvB"],
  "a password in a connection string": ["Server=db;User Id=sa;Password=Kq7xPz93mWvB;Encrypt=true\n", "Kq7xPz93mWvB"],
  "a password in a JDBC address": ["jdbc:mysql://h/db?user=u&password=Kq7xPz93mWvB\n", "Kq7xPz93mWvB"],
  "a password in XML": ["<db:password>Kq7xPz93mWvB</db:password>\n", "Kq7xPz93mWvB"],
  "a token as an argument": ["deploy --auth-token Kq7xPz93mWvB prod\n", "Kq7xPz93mWvB"],
  "a user's password as an argument": ["curl -u admin:Kq7xPz93mWvB https://x.test\n", "Kq7xPz93mWvB"],
  "a key of a kubeconfig": [
    "    client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURQ==\n",
    "LS0tLS1CRUdJTiBSU0EgUFJJVkFURQ==",
  ],
  "a header": ["Authorization: Bearer aB3dE6gH9jK2mN5pQ8rS\n", "aB3dE6gH9jK2mN5pQ8rS"],
  "an Azure connection": [`AccountName=x;AccountKey=${"aB3d".repeat(21)}==;x=y\n`, "aB3d".repeat(21)],
};

describe("what looks like a secret is redacted:", () => {
  for (const [kind, secret] of Object.entries(SECRETS)) {
    test(kind, async () => {
      const clean = await redact(`before ${secret} after ✓\n`);
      expect(clean).toContain("[redacted]");
      expect(clean).toContain("after ✓");
      expect(clean).not.toContain(secret);
    });
  }
});

describe("what is called a secret is redacted:", () => {
  for (const [kind, [text, secret]] of Object.entries(NAMED)) {
    test(kind, async () => {
      const clean = await redact(text);
      expect(clean).toContain("[redacted]");
      // Not even the end of it.
      expect(clean).not.toContain(secret.slice(-4));
    });
  }
});

test("no comment in a text switches redaction off", async () => {
  expect(await redact(`// secretlint-disable\n${SECRETS["Slack token"]}\n`)).toBe(
    "// secretlint-disable\n[redacted]\n",
  );
});

test("two secrets are both redacted, and what stands between them stays", async () => {
  const [one, two] = [SECRETS["GitHub token"], SECRETS["Slack token"]];
  expect(await redact(`a=${one}\nb=1\nc=${two}\n`)).toBe("a=[redacted]\nb=1\nc=[redacted]\n");
});

const ORDINARY = [
  "key = sha-256 of the request\npassword: see the vault\nsk-\n".repeat(50),
  "interface Login {\n  password: string;\n  token: Uint8Array\n}\n",
  "const token = getToken();\nconst password = process.env.PASSWORD;\n",
  "PASSWORD=$DB_PASSWORD\npassword: {{ db.password }}\nMAX_TOKENS=4000\ntoken_limit: 4000abc\n",
  "https://user@example.org/ and .sk-loading-spinner-container-wrapper { }\n",
  "run --token FILE --token-limit 4000 --user 1000:1000 img; see https://x.test/?page=2&sort=key\n",
  "make PASSWORD_FILE=x all; KEY=value make; <token>identifier</token>; MAX_TOKENS=4096 ./run\n",
  "id: 3fa85f64-5717-4562-b3fc-2c963f66afa6\nconst HEAD = '-----BEGIN RSA PRIVATE KEY-----';\n",
];

test.each(ORDINARY)("ordinary text stays as it is: %p", async (text) => {
  expect(await redact(text)).toBe(text);
});
