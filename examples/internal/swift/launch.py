"""Runs one server of OpenStack Swift with a separate swift.conf.

Swift reads /etc/swift/swift.conf while its modules are imported, so the path
must be replaced before these imports.
"""
import runpy
import sys

from swift.common import utils

directory, program = sys.argv[1:3]
utils.SWIFT_CONF_FILE = directory + "/swift.conf"
utils.HASH_PATH_PREFIX = utils.HASH_PATH_SUFFIX = b""
utils.validate_hash_conf()
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__")
