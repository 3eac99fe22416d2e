#!/bin/sh
# Uploads a file, of any size, by way of a service that has presign's handler, with curl and nothing else:
#
#	upload.sh [-u user:password] [-b cookies] [-H header] [-t type] service file
#
#	UPLOAD_USER=demo:demo upload.sh http://127.0.0.1:8080/uploads film.mp4
#
# A file of up to 16 MiB goes in one request. A larger one is a multipart upload: a part that fails is sent again, and the
# next run continues what a run did not complete, if the file and its type are the same. Until then a file under
# $XDG_STATE_HOME, or ~/.local/state, has the ID of the upload and the parts that have arrived. Standard output receives
# what the service returns for the upload. If the file is rejected, the script prints the reason and exits with 1.
#
# The options are curl's, for the service alone; -t is the file's media type, if its name does not tell. Arguments can be
# read by everyone on the machine, in the list of processes. A secret is better in the environment, as UPLOAD_USER, or in
# a file: -H @file, -b file.
set -eu
LC_ALL=C # bytes, whatever they are
export LC_ALL
umask 077

large=16777216 # bytes
attempts=5     # at each request
newline='
'

# printable drops what a terminal would take for more than text.
printable() { tr -d '\000-\010\013-\037\177' | sed "s/$(printf '\302[\200-\237]')//g"; }

usage() {
	printf 'usage: %s [-u user:password] [-b cookies] [-H header] [-t type] service file\n' "${0##*/}" >&2
	exit 2
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" | printable >&2
	exit 1
}

# say TEXT tells how far it is, on one line if that is a terminal.
say() {
	if [ -t 2 ]; then printf '\r\033[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi
}

# quoted TEXT prints what stands between quotation marks for it, in JSON as well as in a file of curl's options, of which
# each line is one.
quoted() {
	case $1 in *"$newline"*) fail "an argument has two lines" ;; esac
	printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# flat prints the service's answer on one line: JSON has no control characters in strings.
flat() { tr -d '\000-\037\177' <"$work/answer"; }

# member NAME prints a member of the answer that is a string, as it stands between its quotation marks. What looks like a
# member within a string has backslashes, and is none.
member() { flat | sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p'; }

# number NAME prints a member that is a number.
number() { flat | sed -nE 's/.*"'"$1"'":([0-9]+).*/\1/p'; }

# again FILE CURL-OPTIONS repeats a request, of which further options are in $work/request, until its status says
# something of the request itself; that is in $status then, and the answer in FILE. A .curlrc is for other requests.
again() {
	answer=$1
	shift
	attempt=0
	until
		: >"$answer" # since curl does not, if the answer is empty
		status=$(curl -q -gsS --proto =http,https --connect-timeout 30 "$@" \
			-K "$work/request" -o "$answer" -w '%{http_code}' 2>"$work/error") || status=000
		case $status in 000 | 408 | 409 | 429 | 5??) false ;; esac
	do
		attempt=$((attempt + 1))
		[ "$attempt" -lt "$attempts" ] || return 0
		[ "$attempt" -gt 1 ] || say "$(case $status in 000) echo "no answer" ;; *) echo "answered $status" ;; esac), trying again"
		sleep "$((1 << (attempt - 1)))"
	done
}

# ask METHOD PATH [JSON] asks the service. Its answer is in $work/answer.
ask() {
	url=$(quoted "$service$2")
	body=$(quoted "${3-}")
	{
		printf 'request = "%s"\nurl = "%s"\n' "$1" "$url"
		[ $# -lt 3 ] || printf 'header = "Content-Type: application/json"\ndata-raw = "%s"\n' "$body"
	} >"$work/request"
	again "$work/answer" -m 360 -K "$work/session"
}

# refused ends it with the service's own words.
refused() {
	[ "$status" != 000 ] || fail "the service does not answer: $(cat "$work/error")"
	message=$(member message | sed 's/\\\(["\\/]\)/\1/g')
	fail "${message:-the service answers $status}"
}

# put URL FILE sends it there, with the headers of the service's answer.
put() {
	case $1 in
	*\\[!/]*) fail "the service's answer is not understood" ;;
	http://* | https://*) ;;
	*) fail "the service's answer has no URL of a store" ;;
	esac
	{
		printf 'url = "%s"\nheader = "Expect:"\n' "$1"
		flat | sed -nE 's/.*"headers":\{((,?"[A-Za-z0-9-]+":"([^"\\]|\\["\\/])*")*)\}.*/\1/p' |
			sed -E 's/,?"([A-Za-z0-9-]+)":"(([^"\\]|\\.)*)"/header = "\1: \2"\
/g'
	} >"$work/request"
	again "$work/stored" --speed-limit 1 --speed-time 60 -D "$work/head" -T "$2"
}

# base64 prints bytes for which it reads hexadecimal digits.
base64() {
	awk '{
		digits = "0123456789abcdef"
		letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		for (i = 1; i <= length($1); i++) {
			value = value * 16 + index(digits, substr($1, i, 1)) - 1
			bits += 4
			if (bits >= 6) {
				bits -= 6
				letter = int(value / 2 ^ bits)
				text = text substr(letters, letter + 1, 1)
				value -= letter * 2 ^ bits
			}
		}
		if (bits > 0) text = text substr(letters, value * 2 ^ (6 - bits) + 1, 1)
		while (length(text) % 4 > 0) text = text "="
		print text
	}'
}

# checksum prints the file's checksum of $algorithm, if there is a program for it. gzip ends its output with the CRC32,
# last byte first. No usual program computes CRC32C.
checksum() {
	case $algorithm in
	CRC32) gzip -1 <"$file" | tail -c 8 | od -An -v -tx1 | awk '{ print $4 $3 $2 $1 }' ;;
	SHA256) { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } <"$file" ;;
	esac 2>"$work/error" | base64
}

# bounds asks which checksum the service requires, and adds it to $about.
bounds() {
	ask GET /
	[ "$status" = 200 ] || refused
	algorithm=$(member checksum)
	[ -n "$algorithm" ] || return 0
	sum=$(checksum)
	[ -n "$sum" ] || fail "the service requires a checksum that this script cannot compute: $algorithm"
	about="$about,\"checksum\":\"$sum\""
}

# seen prints what tells one version of the file from another: its size and time, as exactly as the system tells them.
seen() {
	stat -L -c '%s %y' "$file" 2>/dev/null || stat -L -f '%z %Fm' "$file" 2>/dev/null || ls -Lln "$file"
}

# same ends it if the file is not what it was when the upload began.
same() { [ "$(seen)" = "$version" ] || fail "the file changed while it was uploaded; run this again"; }

# sound reports whether $id and $part_size can be those of a multipart upload, wherever they are from.
sound() {
	case $id in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
	case $part_size in '' | 0* | *[!0-9]* | ???????????*) return 1 ;; esac
	count=$(((size + part_size - 1) / part_size))
	[ "$count" -le 10000 ]
}

# arrived prints the numbers of the parts that the service lists with the ETags in $state. A store may list a part whose
# request was cut off.
arrived() {
	flat | tr '{' '\n' | sed -nE 's/.*"number":([0-9]+).*"etag":"(\\")?([A-Za-z0-9-]+).*/\1 \3/p' | sort >"$work/listed"
	tail -n +4 "$state" | sort -u | comm -12 - "$work/listed" | sed 's/ .*//' | tr '\n' ' '
}

# parts sends those that are not in $arrived.
parts() {
	part=0
	while [ "$part" -lt "$count" ]; do
		part=$((part + 1))
		case " $arrived " in *" $part "*) continue ;; esac
		tail -c "+$(((part - 1) * part_size + 1))" "$file" | head -c "$part_size" >"$work/part"
		same
		turn=0
		while :; do # with a new URL, if that has expired
			ask POST /parts/sign "{\"id\":\"$id\",\"first\":$part,\"last\":$part}"
			[ "$status" = 200 ] || refused
			put "$(flat | sed -nE 's/.*"urls":\["(([^"\\]|\\.)*)".*/\1/p')" "$work/part"
			[ "$status" != 200 ] || break
			turn=$((turn + 1))
			[ "$turn" -lt 2 ] || fail "part $part of $count: the store answers $status; run this again to go on"
		done
		sed -nE 's/^[Ee][Tt][Aa][Gg]: *"([A-Za-z0-9-]+)".*/'"$part"' \1/p' "$work/head" >>"$state"
		say "$((100 * part / count)) %, part $part of $count"
	done
	[ ! -t 2 ] || echo >&2
}

# completes JSON has the service complete the upload, for as long as it takes. While it does so for an earlier request, of
# which the answer was lost, it may say that there is none.
completes() {
	missing=
	while :; do
		ask POST /complete "$1"
		case $status in
		404)
			[ -z "$missing" ] || return 0
			missing=1
			sleep 10
			;;
		409) flat | grep -q '"code":"pending"' || return 0 ;;
		*) return 0 ;;
		esac
	done
}

# end ends it with what the service says of the completion.
end() {
	case $status in 200 | 404 | 410 | 413 | 422) rm -f "$state" ;; esac # else it would be refused again
	[ "$status" = 200 ] || refused
	printf '%s\n' "$(printable <"$work/answer")"
	exit
}

session=
type=
[ -z "${UPLOAD_USER-}" ] || session="user = \"$(quoted "$UPLOAD_USER")\"$newline"
while getopts u:b:H:t: option; do
	case $option in
	u) session="${session}user = \"$(quoted "$OPTARG")\"$newline" ;;
	b) session="${session}cookie = \"$(quoted "$OPTARG")\"$newline" ;;
	H) session="${session}header = \"$(quoted "$OPTARG")\"$newline" ;;
	t) type=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
command -v curl >/dev/null || fail "needs curl, which is not installed"
service=${1%/}
file=$2
case $file in /*) ;; *) file=./$file ;; esac
[ -f "$file" ] || fail "$2 is not a file"
folder=$(cd "${file%/*}/" && pwd -P)
file=${folder%/}/${file##*/}
case $file in *"$newline"*) fail "the file's name has two lines" ;; esac
version=$(seen)
size=$(($(wc -c <"$file")))

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s' "$session" >"$work/session"
state=$work/state

about="\"filename\":\"$(quoted "${file##*/}")\""
[ -z "$type" ] || about="$about,\"type\":\"$(quoted "$type")\""

# An upload that was begun has its checksum already.
id='' arrived=''
if [ "$size" -gt "$large" ]; then
	begun="$version $type $service $file"
	state=${XDG_STATE_HOME:-$HOME/.local/state}/presign-upload
	mkdir -p "$state"
	state=$state/$(printf '%s' "$service $file" | cksum | tr ' ' -)
	before='' part_size=''
	if [ -f "$state" ]; then
		{
			IFS= read -r before && IFS= read -r id && IFS= read -r part_size
		} <"$state" && sound || id=
	fi
	if [ -n "$id" ] && [ "$before" != "$begun" ]; then # it was of something else
		ask POST /abort "{\"id\":\"$id\"}"
		id=
	fi
	if [ -n "$id" ]; then
		ask POST /parts/list "{\"id\":\"$id\"}"
		case $status in
		200) arrived=$(arrived) ;;
		404 | 410) # it is complete, was aborted, or is too old
			completes "{\"id\":\"$id\"}"
			case $status in 404 | 410) id= ;; *) end ;; esac
			;;
		*) refused ;;
		esac
	fi
fi
[ -n "$id" ] || bounds

if [ -z "$id" ] && { [ "$size" -le "$large" ] || [ "$algorithm" = SHA256 ]; }; then # S3 has no SHA256 of a multipart upload
	ask POST / "{$about,\"size\":$size,\"method\":\"PUT\"}"
	[ "$status" = 201 ] || refused
	key=$(member key)
	put "$(member url)" "$file"
	same
	case $status in
	2??) ;;
	412) ;; # it is there: an answer got lost
	*) fail "the store answers $status: $(sed -nE 's/.*<Message>([^<]*)<.*/\1/p' "$work/stored")$(cat "$work/error")" ;;
	esac
	completes "{\"key\":\"$key\"}"
	end
fi
if [ -z "$id" ]; then
	ask POST / "{$about,\"size\":$size,\"method\":\"multipart\"}"
	[ "$status" = 201 ] || refused
	id=$(member id)
	part_size=$(number part_size)
	sound || fail "the service's answer is not understood"
	rm -f "$state"
	(set -C && printf '%s\n' "$begun" "$id" "$part_size" >"$state") # it follows no link
fi
parts
same
completes "{\"id\":\"$id\"}"
end
