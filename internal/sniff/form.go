package sniff

import (
	"slices"
	"strings"

	"github.com/s3presign/presign/internal/mediatype"
)

// A form describes how files of a media type start.
type form struct {
	anything bool // everything but markup agrees
	signed   bool // a signature is promised, so unknown bytes do not agree
	listed   bool // the type is in the table, so only its bases agree

	// Bases are the containers or formats that agree: results of function base,
	// or exact names.
	bases []string
}

// table has a row for each base, or for several bases if files can have any of
// them:
//
//	bases | extensions | extensions
//
// Files with the first extensions always show one of the bases. Files with the
// second extensions might show none.
//
// An extension stands for all types of its format in package mediatype. An
// entry with a slash is a type. If a row promises a signature for a type, only
// the bases of such rows agree with the type.
const table = `
# Images
image/png                       | png
image/jpeg                      | jpg
image/gif                       | gif
image/webp                      | webp
image/bmp                       | bmp
image/x-icon image/png image/bmp image/gif image/jpeg | ico
image/x-icns                    | icns
image/jxl                       | jxl
image/jp2 image/jpx image/jpm   | jpx | jp2 jpm j2c
image/jp2 video/mp4             | | mj2
image/jxr                       | | jxr
image/bpg                       | bpg
image/vnd.adobe.photoshop       | psd
image/x-xcf                     | xcf
image/vnd.djvu                  | djvu
image/vnd.dwg                   | | dwg
application/fits                | fits
image/tiff                      | tiff | dng cr2 nef nrw arw sr2 srf srw rw2 orf pef erf kdc dcr 3fr iiq mrw
general image/tiff              | | raw
image/vnd.radiance text/plain   | | hdr
image/vnd.dxf text/plain        | | dxf
image/x-xpixmap text/plain      | | xpm
text/plain                      | | xbm pbm pgm ppm pnm fig pic cgm asx it

# ISO base media: images, video and audio
video/mp4 video/quicktime       | avif heic heif mp4 mov m4a 3gp 3g2 f4v | cr3 m4s application/mp4 audio/mpeg audio/aac audio/3gpp2
video/mp4 audio/amr             | | 3ga amr awb

# Video
video/webm video/matroska       | webm mkv mka weba | video/x-matroska-3d
application/ogg                 | ogv ogx ogg opus spx | video/x-ogm+ogg audio/x-flac+ogg
video/x-msvideo                 | avi
video/x-flv                     | flv
video/x-ms-asf                  | asf wmv wma
video/mpeg audio/mpeg           | | mpg mp2 m2ts audio/mp2 audio/x-mp2 video/dvd video/x-ms-vob
video/mpeg                      | | sub image/vnd.dvb.subtitle
application/vnd.rn-realmedia-vbr | | rm rmvb audio/x-pn-realaudio
application/vnd.rn-realmedia-vbr text/plain | | ra
application/vnd.apple.mpegurl text/plain    | | m3u m3u8 pls

# Audio; an ID3 tag can precede any of these formats
audio/mpeg audio/aac            | | mp3 aac
audio/mpeg text/plain           | | dts mpc
audio/ape audio/mpeg            | | ape
audio/mpeg                      | | wv tta dsf dff ac3
audio/wav audio/mpeg            | wav
audio/flac audio/mpeg application/ogg | flac
audio/aiff audio/mpeg           | aiff
video/mpeg audio/mpeg text/plain | | mod
audio/midi                      | | mid

audio/basic                     | | au

# Documents; files that Office has encrypted are OLE
application/pdf                 | pdf
application/pdf application/postscript      | | ai
application/postscript text/plain           | | ps
application/pdf                 | | application/postscript
application/zip application/x-ole-storage   | docx docm dotx dotm pptx pptm ppsx ppsm potx potm vsdx | application/kswps application/ksdps
application/zip application/x-ole-storage   | xlsx xlsm xlsb xltx xltm xlam | application/kset
application/x-ole-storage text/plain        | | doc xls ppt pub msg application/rtf text/vnd.graphviz application/x-pagemaker
application/x-ole-storage       | vsd | hwp msi application/x-msdownload
application/x-ole-storage audio/musepack     | | mpp
audio/musepack                  | | mpc
application/x-ole-storage application/vnd.lotus-1-2-3 | | wps
application/zip                 | odt ott ods ots odp otp odg otg odf odc odb sxw sxc sxi | application/vnd.oasis.opendocument.formula-template application/vnd.oasis.opendocument.chart-template
text/plain text/xml             | | fodt fods fodp fodg xfdf
application/zip                 | epub pages numbers hwpx xps oxps
application/zip text/plain      | | key application/pgp-keys
application/onenote application/vnd.ms-cab-compressed | | one
application/vnd.ms-htmlhelp     | | chm
application/x-mobipocket-ebook  | | mobi azw application/vnd.palm
application/vnd.wordperfect     | | wpd

# Text and markup whose types do not start with text/
text/plain | | csv tsv json jsonl json5 jsonld geojson topojson ipynb webmanifest map yaml toml
text/plain | | ics vcf srt tex bib po rtf
text/plain | | sh bat ps1 py rb pl lua dart coffee ts sql graphql gltf application/typescript application/x-typescript
text/plain text/xml             | | plist jnlp application/x-freemind application/x-webarchive
text/plain text/html            | | html xml dtd ent js php hta application/x-mimearchive
text/plain text/xml application/pkcs7-signature | | mobileconfig

# Archives
application/zip application/vnd.rar         | cbz cbr
application/x-7z-compressed application/x-tar application/zip application/vnd.rar | | cb7 cbt cba
application/zip                 | zip xpi kmz 3mf usdz kra pkpass ipa msix
application/zip text/x-shellscript           | jar
application/zip application/gzip            | apk
application/gzip                | gz svgz application/x-compressed-tar application/x-tgz application/x-gtar-compressed
application/gzip application/x-7z-compressed application/vnd.rar | | application/x-compressed
application/x-tar               | tar
application/x-tar text/plain text/xml       | | ova
application/x-bzip2             | bz2 application/x-bzip-compressed-tar application/x-bzip2-compressed-tar
application/x-xz                | xz application/x-xz-compressed-tar
application/zstd                | zst
application/lzip                | lz
application/x-7z-compressed     | 7z
application/vnd.rar             | rar
application/x-xar application/zip application/gzip text/plain | | pkg
application/vnd.ms-cab-compressed application/x-installshield | | cab
application/x-archive           | deb
application/x-rpm               | rpm

# Fonts
font/ttf font/otf font/collection | ttf otf ttc font/sfnt application/font-sfnt
font/woff                       | woff
font/woff2                      | woff2

# Data and programs
model/gltf-binary               | glb
general application/x-object    | | obj
application/vnd.apache.parquet  | | parquet
application/vnd.sqlite3         | | sqlite gpkg
application/x-msaccess          | | mdb
application/x-dbf               | | dbf
application/vnd.shx             | | shp
application/dicom image/tiff    | | dcm
application/fits                | | fit
application/vnd.tcpdump.pcap    | | pcap
application/pkcs7-signature text/plain      | | crt csr p7s p7b p7c
application/vnd.microsoft.portable-executable text/plain | | exe
general text/xml application/vnd.microsoft.portable-executable application/x-ms-shortcut application/vnd.ms-cab-compressed | | lnk msc webloc command
application/x-elf               | elf | appimage
application/x-elf application/x-mach-binary text/plain   | | so
application/x-java-applet       | class
application/x-bytecode.python   | | pyc
application/wasm                | wasm
application/x-shockwave-flash   | swf
`

// forms maps types to their rows of the table.
var forms = load(table)

// The forms of types that are not in the table. Unknown bytes agree with all of
// them.
var (
	opaque = form{anything: true}
	prose  = form{bases: []string{textType, htmlType, xmlType}}
	xml    = form{bases: []string{textType}} // Function takesMarkup compares the markup.

	// Media come in these containers. A .tga can start with the short
	// signatures of the last two.
	media = form{bases: []string{
		"image/tiff", "image/jp2", "video/mp4", "video/quicktime", "video/webm", "video/matroska",
		"video/x-ms-asf", "application/ogg", "audio/mpeg", "image/x-icon",
		"application/vnd.lotus-1-2-3",
	}}

	// Other formats are made of text, archives and databases. The last
	// signatures are short and can be found by chance.
	general = form{bases: []string{
		textType, zipType, oleType, "application/vnd.sqlite3", "application/gzip",
		"application/x-bzip2", "application/x-xz", "application/zstd", "application/lzip",
		"application/x-tar", "application/x-7z-compressed", "application/vnd.rar",
		"application/cbor", "application/zlib", "application/x-dbf", "application/vnd.lotus-1-2-3",
		"application/x-bytecode.python", "application/x-cpio", "audio/aac", "audio/mpeg",
		"font/ttf", "image/jxl", "image/x-icon", "video/mpeg",
	}}
)

func formOf(granted string) form {
	f := forms[granted]
	kind, _, _ := strings.Cut(granted, "/")
	switch {
	case f.signed:
		return f
	case mediatype.Same(granted, "application/octet-stream"):
		return opaque
	case kind == "text", kind == "multipart", kind == "message":
		return form{bases: append(f.bases[:len(f.bases):len(f.bases)], prose.bases...)}
	case strings.HasSuffix(granted, "+xml"):
		return xml
	case f.listed:
		return f
	case kind == "image", kind == "video", kind == "audio", kind == "font":
		return media
	}
	return general
}

func load(table string) map[string]form {
	promised, others := make(map[string]form, 512), make(map[string]form, 512)
	add := func(forms map[string]form, typ string, bases []string) {
		f := forms[typ]
		f.listed = true
		f.bases = append(f.bases[:len(f.bases):len(f.bases)], bases...)
		forms[typ] = f
	}
	for line := range strings.Lines(table) {
		row := strings.Split(line, "|")
		if len(row) == 1 {
			continue // a heading or blank
		}
		bases := strings.Fields(strings.ReplaceAll(row[0], "general",
			strings.Join(general.bases, " ")))
		for i, column := range row[1:] {
			for entry := range strings.FieldsSeq(column) {
				for _, typ := range typesOf(entry) {
					if i == 0 {
						add(promised, typ, bases)
					} else {
						add(others, typ, bases)
					}
				}
			}
		}
	}
	for typ, f := range promised {
		f.signed = true
		others[typ] = f
	}
	return others
}

// typesOf returns the types that an entry of the table stands for.
func typesOf(entry string) []string {
	types := mediatype.ByExtension("." + entry)
	if strings.Contains(entry, "/") {
		return []string{entry}
	}
	return slices.DeleteFunc(slices.Clone(types), func(typ string) bool {
		return !mediatype.Same(typ, types[0])
	})
}
