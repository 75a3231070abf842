/** Preloaded into llmfs when it runs from its sources: writes the path of every file that it loads to LLMFS_TEST_MODULES. */
import { appendFileSync, readFileSync } from "node:fs";
import { plugin } from "bun";

plugin({
  name: "list modules",
  setup(build) {
    build.onLoad({ filter: /\.([cm]?js|ts)$/ }, ({ path }) => {
      appendFileSync(process.env.LLMFS_TEST_MODULES ?? "/dev/null", `${process.argv[2]}\t${path}\n`);
      return { contents: readFileSync(path, "utf8"), loader: path.endsWith(".ts") ? "ts" : "js" };
    });
  },
});
