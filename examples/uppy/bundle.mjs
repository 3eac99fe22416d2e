// Makes uppy.js and uppy.css of the packages that are installed in one directory, in another, and puts their licences
// beside them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [from, to] = process.argv.slice(2).map((path) => resolve(path));
const { build } = createRequire(join(from, "package.json"))("esbuild");

const { metafile } = await build({
  stdin: {
    resolveDir: from,
    contents: `
      export { default as Uppy } from "@uppy/core";
      export { default as Dashboard } from "@uppy/dashboard";
      export { default as AwsS3 } from "@uppy/aws-s3";
      export { default as GoldenRetriever } from "@uppy/golden-retriever";
      import "@uppy/core/css/style.min.css";
      import "@uppy/dashboard/css/style.min.css";
    `,
  },
  absWorkingDir: from, outfile: join(to, "uppy.js"),
  bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", metafile: true,
});

const packages = new Set();
for (const path of Object.keys(metafile.inputs)) {
  const found = path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/);
  if (found) packages.add(found[0]);
}
const licences = [...packages].sort().map((path) => {
  const { name, version, license } = JSON.parse(readFileSync(join(from, path, "package.json"), "utf8"));
  return `${name} ${version} (${license})\n\n${licence(join(from, path)).trim().replaceAll(/[ \t]*\r?\n/g, "\n")}\n`;
});
writeFileSync(join(to, "uppy.LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

/** Returns the text of a package's licence, which some have in their README. */
function licence(path) {
  const file = readdirSync(path).find((name) => /^licen[cs]e(\.md|\.txt)?$/i.test(name));
  if (file) return readFileSync(join(path, file), "utf8");
  const readme = join(path, "README.md");
  const section = existsSync(readme) && readFileSync(readme, "utf8").match(/^## Licen[cs]e[^\n]*\n([^]*?)(?=^## |$(?![^]))/m);
  if (!section) throw new Error(`no licence in ${path}`);
  return section[1];
}
