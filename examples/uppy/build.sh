#!/bin/sh
# Builds again, from npm, what of Uppy is in this repository: page/uppy.* for the demo, and testdata/uppy.*, the major
# version before it, for its tests. It takes Node.js 18 or newer, with npm.
#
# To change a version, edit package.json here or in testdata, run
#
#	npm install --package-lock-only --omit-lockfile-registry-resolved
#
# beside it, and then this. The lock files name versions and digests, and no registry.
set -eu
cd "$(dirname "$0")"
for dir in . testdata; do
	(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
done
node bundle.mjs . page
node bundle.mjs testdata testdata
