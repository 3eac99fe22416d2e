// Bundles the packages that are installed in the first directory into uppy.js
// and uppy.css in the second directory. Also writes their licenses, and the
// licenses of code that Uppy's packages have copied from other projects.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

import { copiedProjects, mentionedProjects } from "./vendored.mjs";

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
  bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "eof", metafile: true,
});

const packages = new Set();
for (const path of Object.keys(metafile.inputs)) {
  const found = path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/);
  if (found) packages.add(found[0]);
}
const licenses = [...packages].sort().map((path) => {
  const description = readFileSync(join(from, path, "package.json"), "utf8");
  const { name, version, license } = JSON.parse(description);
  const text = readLicense(join(from, path)).trim().replaceAll(/[ \t]*\r?\n/g, "\n");
  return `${name} ${version} (${license})\n\n${text}\n`;
});
for (const [origin, places] of origins([...packages].filter((path) => path.includes("/@uppy/")))) {
  const name = origin.replace("@package ", "");
  licenses.push(`${name}, in ${[...places].sort().join(", ")}\n\n${copiedProjects[origin]}\n`);
}
writeFileSync(join(to, "uppy.LICENSES.txt"), licenses.join(`\n${"-".repeat(80)}\n\n`));

/**
 * Returns the projects whose code the packages have copied, each with its files
 * or pages. It finds them by the comments of the packages, and throws an error
 * for a project that vendored.mjs does not list.
 */
function origins(paths) {
  const linkPattern = /\b(github|gitlab|codepen|stackoverflow)\.(com|io)\/[^\s),]+\b/g;
  const creditPattern = new RegExp(
    "@licen[cs]e|@source|@package|@copyright|@preserve|copyright|©|" +
    "\\(c\\) \\d|(taken|adapted|copied) from|borrow", "i");
  const found = {};
  for (const [file, comment] of paths.flatMap(comments)) {
    const links = comment.match(linkPattern) ?? [];
    const copied = Object.keys(copiedProjects).filter((origin) => comment.includes(origin));
    const known = [...copied, ...mentionedProjects];
    if (!links.every((link) => known.some((start) => link.startsWith(start))) ||
        creditPattern.test(comment) && !known.some((start) => comment.includes(start))) {
      throw new Error(
        `vendored.mjs must list the origin and license of the code in ${file}:\n${comment}`);
    }
    for (const origin of copied) {
      const place = origin.endsWith("/") ? links.find((link) => link.startsWith(origin)) : file;
      (found[origin] ??= new Set()).add(place);
    }
  }
  return Object.entries(found).sort();
}

/** Returns the comments in the sources of a package, each with its file. */
function comments(path) {
  const src = join(from, path, "src");
  const names = readdirSync(src, { recursive: true })
    .filter((name) => /(?<!\.test)\.(ts|tsx|scss)$/.test(name));
  return names.flatMap((name) => {
    const file = `${path.replace(/^.*node_modules\//, "")}/src/${name}`;
    const source = readFileSync(join(src, name), "utf8");
    const found = [...source.matchAll(/\/\*[^]*?\*\/|(?<!:)\/\/.*/g)];
    return found.map(([comment]) => [file, comment]);
  });
}

/**
 * Returns the text of a package's license. Some packages have the text only in
 * their README.
 */
function readLicense(path) {
  const file = readdirSync(path).find((name) => /^licen[cs]e(\.md|\.txt)?$/i.test(name));
  if (file) return readFileSync(join(path, file), "utf8");
  const readme = join(path, "README.md");
  const section = existsSync(readme) && readFileSync(readme, "utf8")
    .match(/^## Licen[cs]e[^\n]*\n([^]*?)(?=^## |$(?![^]))/m);
  if (!section) throw new Error(`${path} must contain a license`);
  return section[1];
}
