#!/bin/sh
# Uploads a file, of any size, by way of a service that has presign's handler, with curl and nothing else:
#
#	upload.sh [-u user:password] [-b cookies] [-H header] [-t type] service file
#
#	UPLOAD_USER=demo:demo upload.sh http://127.0.0.1:8080/uploads film.mp4
#
# A file of up to 16 MiB goes in one request. A larger one goes in parts: one that fails is sent again, and a run that
# was ended is gone on with by the next, if the file and its type are the same. Meanwhile a file under $XDG_STATE_HOME,
# or ~/.local/state, says with what. What the service says of the upload goes to standard output. If the file is
# refused, the script says why and ends with 1.
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

# plain prints a string of JSON as what it stands for, if that has printable characters alone.
plain() { sed 's/\\\(["\\/]\)/\1/g'; }

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
	message=$(member message | plain)
	fail "${message:-the service answers $status}"
}

# put FILE sends it where the service's answer says.
put() {
	url=$(member url)
	case $url in
	*\\[!/]*) fail "the service's answer is not understood" ;;
	http://* | https://*) ;;
	*) fail "the service's answer has no URL of a store" ;;
	esac
	{
		printf 'url = "%s"\nheader = "Expect:"\n' "$url"
		flat | sed -nE 's/.*"headers":\{((,?"[A-Za-z0-9-]+":"([^"\\]|\\["\\/])*")*)\}.*/\1/p' |
			sed -E 's/,?"([A-Za-z0-9-]+)":"(([^"\\]|\\.)*)"/header = "\1: \2"\
/g'
	} >"$work/request"
	again "$work/stored" --speed-limit 1 --speed-time 60 -T "$1"
}

# escaped TEXT prints it for a query.
escaped() {
	printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# seen prints what tells one version of the file from another: its size and time, as exactly as the system tells them.
seen() {
	stat -L -c '%s %y' "$file" 2>/dev/null || stat -L -f '%z %Fm' "$file" 2>/dev/null || ls -Lln "$file"
}

# same ends it if the file is not what it was when the upload began.
same() { [ "$(seen)" = "$version" ] || fail "the file changed while it was uploaded; run this again"; }

# sound reports whether $id, $key and $part_size can be those of an upload in parts, wherever they are from.
sound() {
	case $id in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
	case $part_size in '' | 0* | *[!0-9]* | ???????????*) return 1 ;; esac
	count=$(((size + part_size - 1) / part_size))
	[ "$count" -le 10000 ] || return 1
	printf '%s\n' "$key" | grep -Eqx '([^"\\]|\\["\\/])+' || return 1
	query="key=$(escaped "$(printf '%s' "$key" | plain)")"
}

# parts sends those that have not arrived.
parts() {
	part=0
	while [ "$part" -lt "$count" ]; do
		part=$((part + 1))
		case " $arrived " in *" $part "*) continue ;; esac
		tail -c "+$(((part - 1) * part_size + 1))" "$file" | head -c "$part_size" >"$work/part"
		same
		turn=0
		while :; do # with a new URL, if that has expired
			ask GET "/s3/multipart/$id/$part?$query"
			[ "$status" = 200 ] || refused
			put "$work/part"
			[ "$status" != 200 ] || break
			turn=$((turn + 1))
			[ "$turn" -lt 2 ] || fail "part $part of $count: the store answers $status; run this again to go on"
		done
		say "$((100 * part / count)) %, part $part of $count"
	done
	[ ! -t 2 ] || echo >&2
}

# completes PATH JSON has the service complete the upload. While it does so for an earlier request, of which the answer was
# lost, it may say that there is none.
completes() {
	ask POST "$@"
	if [ "$status" = 404 ]; then
		sleep 10
		ask POST "$@"
	fi
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
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || fail "takes the URL of the service and a file"
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

if [ "$size" -le "$large" ]; then
	ask POST / "{$about,\"size\":$size,\"method\":\"PUT\"}"
	[ "$status" = 201 ] || refused
	key=$(member key)
	put "$file"
	same
	case $status in
	2??) ;;
	412) ;; # it is there: an answer got lost
	*) fail "the store answers $status: $(sed -nE 's/.*<Message>([^<]*)<.*/\1/p' "$work/stored")$(cat "$work/error")" ;;
	esac
else
	begun="$version $type $service $file"
	state=${XDG_STATE_HOME:-$HOME/.local/state}/presign-upload
	mkdir -p "$state"
	state=$state/$(printf '%s' "$service $file" | cksum | tr ' ' -)
	before='' id='' key='' part_size='' arrived=''
	if [ -f "$state" ]; then
		{
			IFS= read -r before && IFS= read -r id && IFS= read -r key && IFS= read -r part_size
		} <"$state" && sound || id=
	fi
	if [ -n "$id" ] && [ "$before" != "$begun" ]; then # it was of something else
		ask DELETE "/s3/multipart/$id?$query"
		id=
	fi
	if [ -n "$id" ]; then
		ask GET "/s3/multipart/$id?$query"
		case $status in
		200) arrived=$(flat | tr '{' '\n' | sed -nE 's/.*"PartNumber":([0-9]+).*/\1/p' | tr '\n' ' ') ;;
		404 | 410) # it is complete, was aborted, or is too old
			completes /complete "{\"key\":\"$key\"}"
			case $status in 404 | 410) id= ;; *) end ;; esac
			;;
		*) refused ;;
		esac
	fi
	if [ -z "$id" ]; then
		ask POST /s3/multipart "{$about,\"metadata\":{\"size\":$size}}"
		[ "$status" = 200 ] || refused
		id=$(member uploadId)
		key=$(member key)
		part_size=$(number partSize)
		sound || fail "the service's answer is not understood"
		rm -f "$state"
		(set -C && printf '%s\n' "$begun" "$id" "$key" "$part_size" >"$state") # it follows no link
	fi
	parts
	same
	completes "/s3/multipart/$id/complete?$query" '{"parts":[]}'
	[ "$status" = 200 ] || end
fi
completes /complete "{\"key\":\"$key\"}"
end
