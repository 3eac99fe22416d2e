#!/bin/sh
# Uploads a file, of any size, by way of a service that has presign's handler, with curl and nothing else:
#
#	upload.sh [-u user:password] [-b cookies] [-H header] [-t type] service file
#
#	upload.sh -u demo:demo http://127.0.0.1:8080/uploads film.mp4
#
# A file of up to 16 MiB goes in one request. A larger one goes in parts: one that fails is sent again, and a run that
# was ended is gone on with by the next, for which there is a file beside the uploaded one meanwhile. What the service
# says of the upload goes to standard output. If the file is refused, the script says why and ends with 1.
#
# The options are curl's, for the service alone; -t is the file's media type, if its name does not tell.
set -eu
LC_ALL=C # bytes, whatever they are
export LC_ALL
umask 077

large=16777216 # bytes
attempts=5     # at each request

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# say TEXT tells how far it is, on one line if that is a terminal.
say() {
	if [ -t 2 ]; then printf '\r\033[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi
}

# quoted TEXT prints what stands between quotation marks for it, in JSON as well as in a file of curl's options.
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# member NAME prints a member of the service's answer that is a string, as it stands between its quotation marks. What
# looks like a member within a string has backslashes, and is none.
member() { sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' "$work/answer"; }

# number NAME prints a member that is a number.
number() { sed -nE 's/.*"'"$1"'":([0-9]+).*/\1/p' "$work/answer"; }

# plain prints a string of JSON as what it stands for, if that has printable characters alone.
plain() { sed 's/\\\(["\\/]\)/\1/g'; }

# again CURL-OPTIONS repeats a request, of which further options are in $work/request, until its status says something
# of the request itself; that is in $status then.
again() {
	attempt=0
	until
		status=$(curl -gsS "$@" -K "$work/request" -w '%{http_code}' 2>"$work/error") || status=000
		case $status in 000 | 429 | 5??) false ;; esac
	do
		attempt=$((attempt + 1))
		[ "$attempt" -lt "$attempts" ] || return 0
		sleep "$((1 << (attempt - 1)))"
	done
}

# ask METHOD PATH [JSON] asks the service. Its answer is in $work/answer.
ask() {
	{
		printf 'request = "%s"\nurl = "%s"\n' "$1" "$(quoted "$service$2")"
		[ $# -lt 3 ] || printf 'header = "Content-Type: application/json"\ndata-raw = "%s"\n' "$(quoted "$3")"
	} >"$work/request"
	again -K "$work/session" -o "$work/answer"
}

# refused ends it with the service's own words.
refused() {
	[ "$status" != 000 ] || fail "the service does not answer: $(cat "$work/error")"
	message=$(member message | plain)
	fail "${message:-the service answers $status}"
}

# put FILE sends it where the service's answer says.
put() {
	{
		printf 'url = "%s"\nheader = "Expect:"\n' "$(member url)"
		sed -nE 's/.*"headers":\{(("([^"\\]|\\.)*"[:,]?)*)\}.*/\1/p' "$work/answer" |
			sed -E 's/"(([^"\\]|\\.)*)":"(([^"\\]|\\.)*)",?/header = "\1: \3"\
/g'
	} >"$work/request"
	again -T "$1" -o "$work/stored"
}

# escaped TEXT prints it for a query.
escaped() {
	printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# parts sends those that have not arrived.
parts() {
	printf '%s\n' "$service" "$size" "$id" "$key" "$part_size" >"$state"
	count=$(((size + part_size - 1) / part_size))
	part=0
	while [ "$part" -lt "$count" ]; do
		part=$((part + 1))
		case " $arrived " in *" $part "*) continue ;; esac
		tail -c "+$(((part - 1) * part_size + 1))" "$file" | head -c "$part_size" >"$work/part"
		turn=0
		while :; do # with a new URL, if that has expired
			ask GET "/s3/multipart/$id/$part?key=$query"
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

newline='
'
session=
type=
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
service=${1%/}
file=$2
case $file in /*) ;; *) file=./$file ;; esac
case $file in *"$newline"*) fail "the file's name has two lines" ;; esac
[ -f "$file" ] || fail "$2 is not a file"
size=$(($(wc -c <"$file")))

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s' "$session" >"$work/session" # where nobody sees it in the list of processes

about="\"filename\":\"$(quoted "${file##*/}")\""
[ -z "$type" ] || about="$about,\"type\":\"$(quoted "$type")\""

if [ "$size" -le "$large" ]; then
	ask POST / "{$about,\"size\":$size,\"method\":\"PUT\"}"
	[ "$status" = 201 ] || refused
	key=$(member key)
	put "$file"
	case $status in
	2??) ;;
	412) ;; # it is there: an answer got lost
	*) fail "the store answers $status: $(sed -nE 's/.*<Message>([^<]*)<.*/\1/p' "$work/stored")$(cat "$work/error")" ;;
	esac
else
	state=$file.upload
	arrived='' id='' key='' part_size='' before='' size_before=''
	if [ -f "$state" ] && [ ! "$file" -nt "$state" ]; then
		{
			read -r before && read -r size_before && read -r id && read -r key && read -r part_size
		} <"$state" || id=
		[ "$before" = "$service" ] && [ "$size_before" = "$size" ] || id=
	fi
	if [ -n "$id" ]; then
		query=$(escaped "$(printf '%s' "$key" | plain)")
		ask GET "/s3/multipart/$id?key=$query"
		case $status in
		200) arrived=$(tr '{' '\n' <"$work/answer" | sed -nE 's/.*"PartNumber":([0-9]+).*/\1/p' | tr '\n' ' ') ;;
		404 | 410) # it is complete, was aborted, or is too old
			id=
			ask POST /complete "{\"key\":\"$key\"}"
			[ "$status" != 200 ] || id=complete
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
		query=$(escaped "$(printf '%s' "$key" | plain)")
	fi
	if [ "$id" != complete ]; then
		parts
		ask POST "/s3/multipart/$id/complete?key=$query" '{"parts":[]}'
	fi
	case $status in 200 | 404 | 410 | 413 | 422) rm -f "$state" ;; esac # there is nothing more to go on with
	[ "$status" = 200 ] || refused
fi
ask POST /complete "{\"key\":\"$key\"}"
[ "$status" = 200 ] || refused
printf '%s\n' "$(cat "$work/answer")"
