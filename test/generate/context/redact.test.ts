import { describe, expect, test } from "bun:test";
import { redact } from "../../../src/generate/context/redact.ts";

const AWS_SECRET = `wJalrXUtnFEMI/K7MDENG/${"bPxRfiCYzzYYZKQaaa"}`;

// Put together here, so that no file in the repository contains what a scanner would report.
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
  "key whose first line is missing": `${"MIIE".repeat(16)}\n${"aB3+".repeat(16)}\nq8==\n-----END RSA ${"PRIVATE"} KEY-----`,
  "Kubernetes copy of Docker's passwords": `eyJhdXRo${"cyI6eyJodHRwczovL2luZGV4LmRvY2tlci5pby92MS8i"}`,
  "password in a URL": `https://admin:${"hunter2hunter2"}@db.example.org/x`,
};

/** Secrets that are recognized by their name or by an address: the text, and the secret in it. */
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
  "a PuTTY key": [
    `PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 1\nAAAAC3\nPrivate-Lines: 2\n${"aB3d".repeat(16)}\nZk9Q==\nPrivate-MAC: 00ff\n`,
    `${"aB3d".repeat(16)}\nZk9Q==`,
  ],
  "Docker's password": [
    '{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpodW50ZXIy"}}}\n',
    "dXNlcjpodW50ZXIy",
  ],
  "npm's password": ["//registry.npmjs.org/:_auth=dXNlcjpodW50ZXIy\n", "dXNlcjpodW50ZXIy"],
  "a short basic authorization": ["Authorization: Basic dTpwYXNz\n", "dTpwYXNz"],
  "a line of /etc/shadow": [
    `root:$6$Kq7xPz93$${"aB3dE6gH9jK2mN5pQ8rS".repeat(4)}abcdef:19000:0:99999:7:::\n`,
    `${"aB3dE6gH9jK2mN5pQ8rS".repeat(4)}abcdef`,
  ],
  "a yescrypt hash": [`user:$y$j9T$Kq7xPz93mWvB$${"aB3dE6gH9jK2mN5p".repeat(3).slice(5)}:1::::::\n`, "9jK2mN5p"],
  "a line of .htpasswd": [`admin:$2y$10$${"aB3dE6gH9jK2mN5pQ8rS".repeat(3).slice(7)}\n`, "mN5pQ8rS"],
  "a line of .htpasswd by Apache": ["admin:$apr1$Kq7xPz93$aB3dE6gH9jK2mN5pQ8rSt0\n", "aB3dE6gH9jK2mN5pQ8rSt0"],
  "a password in LDAP": ["userPassword: {SSHA}aB3dE6gH9jK2mN5pQ8rStUvWxYz01234\n", "aB3dE6gH9jK2mN5pQ8rStUvWxYz01234"],
  "a line of .pgpass": ["db.internal:5432:orders:app:correct-horse\n", "correct-horse"],
  "a line of .pgpass for every database": ["*:*:*:postgres:correct-horse\n", "correct-horse"],
  "a line of .netrc": ["machine api.test login me password correct-horse\n", "correct-horse"],
  "lines of .netrc": ["machine api.test\n  login me\n  password correct-horse\n", "correct-horse"],
  "a .netrc with the password first": ["machine api.test password correct-horse login me\n", "correct-horse"],
  "a password with an @ in a URL": ["postgres://app:p@ss-w0rd@db:5432/x\n", "p@ss-w0rd"],
  "a password with several @ in a URL": ["mysql://app:@a@b@c@db/x\n", "@a@b@c"],
  "a password behind a user who is an address": ["smtp://me@corp.test:s3cr3t-pass@mail.test\n", "s3cr3t-pass"],
  "a folded password in YAML": ["db:\n  password: >-\n    correct\n    horse\n  host: x\n", "    correct\n    horse"],
  "a literal password in a list in YAML": ["- password: |\n    correcthorse\n  host: x\n", "correcthorse"],
  "a password of letters in YAML": ["db:\n  host: localhost\n  user: app\n  password: correcthorse\n", "correcthorse"],
  "a variable of letters in YAML": ["environment:\n  POSTGRES_PASSWORD: correcthorse\n", "correcthorse"],
  "a cookie that is sent": ["GET / HTTP/1.1\nCookie: theme=dark; sid=aB3dE6gH9jK2mN5p\n\n", "sid=aB3dE6gH9jK2mN5p"],
  "a cookie that is set": ["Set-Cookie: sid=aB3dE6gH9jK2mN5p; Path=/; HttpOnly\n", "aB3dE6gH9jK2mN5p"],
  "a cookie in JSON": ['{"Cookie": "sid=aB3dE6gH9jK2mN5p"}\n', "aB3dE6gH9jK2mN5p"],
  "a cookie as an argument": ["curl -b 'sid=aB3dE6gH9jK2mN5p' https://x.test\n", "aB3dE6gH9jK2mN5p"],
  "a cookie of a browser's file": [".x.test\tTRUE\t/\tFALSE\t1700000000\tsid\taB3dE6gH9j\n", "aB3dE6gH9j"],
  "an Azure connection": [`AccountName=x;AccountKey=${"aB3d".repeat(21)}==;x=y\n`, "aB3d".repeat(21)],
};

describe("text that looks like a secret is redacted:", () => {
  for (const [kind, secret] of Object.entries(SECRETS)) {
    test(kind, async () => {
      const clean = await redact(`before ${secret} after ✓\n`);
      expect(clean).toContain("[redacted]");
      expect(clean).toContain("after ✓");
      expect(clean).not.toContain(secret);
    });
  }
});

describe("a value whose name says it is a secret is redacted:", () => {
  for (const [kind, [text, secret]] of Object.entries(NAMED)) {
    test(kind, async () => {
      const clean = await redact(text);
      expect(clean).toContain("[redacted]");
      // Not even the end of it.
      expect(clean).not.toContain(secret.slice(-4));
    });
  }
});

test("a comment in a text cannot switch redaction off", async () => {
  expect(await redact(`// secretlint-disable\n${SECRETS["Slack token"]}\n`)).toBe(
    "// secretlint-disable\n[redacted]\n",
  );
});

test("two secrets are both redacted, and the text between them is kept", async () => {
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
  "interface Login {\n  host: string\n  port: number\n  password: string\n}\n",
  "class Login:\n  host: str\n  password: SecretStr\n",
  "en:\n  username: gebruikersnaam\n  password: wachtwoord\n",
  "db:\n  host: x\n  password: $DB_PASSWORD\n  token: |\n    {{ token }}\nPASS: incbin\n",
  "root:x:0:0:root:/root:/bin/bash\nroot:*:19000:0:99999:7:::\na.c:12:5:error:bad\nfe80:0:0:0:1:2\n10:11:12:13:14\n",
  "a machine learning password reset; machine HOST login USER password PASSWORD\n",
  "it begins with BEGIN and its last line is\nthe one that everybody knows, such as\n-----END RSA PRIVATE KEY-----\n",
  "Cookie: name=value\nSet-Cookie: lang=en; Path=/; Max-Age=31536000\nA cookie: small, and eaten at once\n",
  "auth: required\nauth = getAuthenticator\nBasic authentication is used; awk '{print $1$2}' $HOME\n",
  "git@github.com:me/repo.git ssh://git@host:22/x https://host:8080/a@b?c=d@e\n",
  "id: 3fa85f64-5717-4562-b3fc-2c963f66afa6\nconst HEAD = '-----BEGIN RSA PRIVATE KEY-----';\n",
];

test.each(ORDINARY)("ordinary text is left unchanged: %p", async (text) => {
  expect(await redact(text)).toBe(text);
});
