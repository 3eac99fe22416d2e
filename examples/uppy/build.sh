#!/bin/sh
# Builds the bundles of Uppy in this repository from npm: page/uppy.* for the
# demo, and testdata/uppy.*, the previous major version, for its tests. It
# requires Node.js 18 or newer, with npm.
#
# To change a version, edit package.json in this directory or in testdata, run
#
#	npm install --package-lock-only --omit-lockfile-registry-resolved
#
# in the directory of package.json, and then run this script. The lock files
# contain versions and digests, but no registry.
set -eu
cd "$(dirname "$0")"
for dir in . testdata; do
	(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
done
node bundle.mjs . page
node bundle.mjs testdata testdata
