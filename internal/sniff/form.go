package sniff

import (
	"strings"

	"github.com/s3presign/presign/internal/mediatype"
)

// form is what files of a media type look like.
type form struct {
	anything bool     // all but markup
	signed   bool     // never unknown
	bases    []string // what they are built on, as function base has it: a container, or the format itself
}

// table has a row for each base, or for several between which files vary:
//
//	bases | extensions whose files always show one of them | extensions whose files may show none
//
// An extension stands for all types that a file with it may be granted. In place of one, a type stands for itself.
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
image/jp2 image/jpx image/jpm   | jpx | jp2
image/jxr                       | | jxr
image/bpg                       | bpg
image/vnd.adobe.photoshop       | psd
image/x-xcf                     | xcf
image/vnd.djvu                  | djvu
image/vnd.dwg                   | | dwg
application/fits                | fits
image/tiff                      | tiff | dng cr2 nef nrw arw sr2 srf srw raw rw2 orf pef erf kdc dcr 3fr iiq mrw
image/vnd.radiance              | | hdr
image/vnd.dxf text/plain        | | dxf
image/x-xpixmap text/plain      | | xpm
text/plain                      | | xbm pbm pgm ppm pnm

# ISO base media: images, video and audio
video/mp4 video/quicktime       | avif heic heif mp4 mov m4a 3gp 3g2 f4v | cr3 mj2

# Video
video/webm video/matroska       | webm mkv mka weba
application/ogg                 | ogv ogm ogx ogg opus spx
video/x-msvideo                 | avi
video/x-flv                     | flv
video/x-ms-asf                  | asf wmv wma
video/mpeg audio/mpeg           | | mpg vob mp2 m2ts
application/vnd.rn-realmedia-vbr | | rm rmvb
application/vnd.rn-realmedia-vbr text/plain | | ra
application/vnd.apple.mpegurl text/plain    | | m3u m3u8 pls

# Audio; ID3 may stand before any of it
audio/mpeg audio/aac            | | mp3 aac
audio/mpeg                      | | ape wv tta mpc dsf dff ac3 dts
audio/wav audio/mpeg            | wav
audio/flac audio/mpeg application/ogg | flac
audio/aiff audio/mpeg           | aiff
audio/midi                      | | mid
audio/amr                       | | amr
audio/basic                     | | au

# Documents; what is encrypted by Office is OLE
application/pdf                 | pdf
application/pdf application/postscript      | | ai
application/postscript text/plain           | | ps
application/zip application/x-ole-storage   | docx docm dotx dotm pptx pptm ppsx ppsm potx potm vsdx
application/zip application/x-ole-storage   | xlsx xlsm xlsb xltx xltm xlam
application/x-ole-storage text/plain        | | doc dot xls ppt pub
application/x-ole-storage       | vsd msg | mpp wps hwp msi
application/zip                 | odt ott ods ots odp otp odg otg odf odc odb sxw sxc sxi
application/zip                 | epub pages numbers hwpx xps oxps
application/zip text/plain      | | key
application/onenote             | | one
application/vnd.ms-htmlhelp     | | chm
application/x-mobipocket-ebook  | | mobi azw
application/vnd.wordperfect     | | wpd

# Text and markup by names that do not say so; those that do are under text already
text/plain | | csv tsv json jsonl json5 jsonld geojson topojson ipynb webmanifest map yaml toml
text/plain | | ics vcf srt tex bib po rtf
text/plain | | sh bat ps1 py rb pl lua dart coffee ts sql graphql gltf
text/plain text/xml             | | plist jnlp application/x-freemind application/x-webarchive
text/plain text/html            | | html xml dtd ent js php hta application/x-mimearchive
text/plain text/xml application/pkcs7-signature | | mobileconfig

# Archives
application/zip application/vnd.rar         | application/vnd.comicbook+zip application/x-cbz
application/zip application/vnd.rar         | application/vnd.comicbook-rar application/x-cbr
application/zip                 | zip jar apk xpi kmz 3mf usdz kra pkpass ipa msix
application/gzip                | gz tgz svgz
application/x-tar               | tar
application/x-tar text/plain text/xml       | | ova
application/x-bzip2             | bz2 tbz
application/x-xz                | xz txz
application/zstd                | zst
application/lzip                | lz
application/x-7z-compressed     | 7z
application/vnd.rar             | rar
application/x-xar               | | pkg
application/vnd.ms-cab-compressed application/x-installshield | | cab
application/x-archive           | deb
application/x-rpm               | rpm

# Fonts
font/ttf font/otf font/collection | ttf otf ttc
font/woff                       | woff
font/woff2                      | woff2

# Data and programs
model/gltf-binary               | glb
application/vnd.apache.parquet  | | parquet
application/vnd.sqlite3         | | sqlite gpkg
application/x-msaccess          | | mdb
application/x-dbf               | | dbf
application/vnd.shx             | | shp
application/dicom image/tiff    | | dcm
application/vnd.tcpdump.pcap    | | pcap
application/pkcs7-signature text/plain      | | crt csr p7s p7b p7c
application/vnd.microsoft.portable-executable text/plain | | exe
application/x-elf               | elf | appimage
application/x-elf application/x-mach-binary text/plain   | | so
application/x-java-applet       | class
application/x-bytecode.python   | | pyc
application/wasm                | wasm
application/x-shockwave-flash   | swf
`

// forms holds what the table says of each type.
var forms = load(table)

// What the files of types that are not in the table may look like, beside nothing that is known.
var (
	opaque = form{anything: true}
	prose  = form{bases: []string{textType, htmlType, xmlType}}
	xml    = form{bases: []string{textType}} // that there is markup is for takesMarkup to judge

	// Media come in these containers; the last two have signatures so short that those of a .tga are the same.
	media = form{bases: []string{"image/tiff", "image/jp2", "video/mp4", "video/quicktime", "video/webm",
		"video/matroska", "video/x-ms-asf", "application/ogg", "audio/mpeg", "image/x-icon",
		"application/vnd.lotus-1-2-3"}}

	// Other formats are made of text, archives and databases. Behind them come signatures that are found by chance.
	general = form{bases: []string{textType, "application/zip", "application/x-ole-storage", "application/vnd.sqlite3",
		"application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd", "application/lzip",
		"application/x-tar", "application/x-7z-compressed", "application/vnd.rar", "application/cbor",
		"application/zlib", "application/x-dbf", "application/vnd.lotus-1-2-3", "application/x-bytecode.python",
		"application/x-cpio", "audio/aac", "audio/mpeg", "font/ttf", "image/jxl", "image/x-icon", "video/mpeg"}}
)

func formOf(granted string) form {
	f, listed := forms[granted]
	kind, _, _ := strings.Cut(granted, "/")
	switch {
	case f.signed:
		return f
	case mediatype.Same(granted, "application/octet-stream"):
		return opaque
	case kind == "text", kind == "multipart", kind == "message":
		return prose
	case strings.HasSuffix(granted, "+xml"):
		return xml
	case listed:
		return f
	case kind == "image", kind == "video", kind == "audio", kind == "font":
		return media
	}
	return general
}

func load(table string) map[string]form {
	forms := make(map[string]form, 512)
	add := func(typ string, bases []string, signed bool) {
		f, listed := forms[typ]
		f.signed = signed && (f.signed || !listed)
		f.bases = append(f.bases, bases...)
		forms[typ] = f
	}
	for line := range strings.Lines(table) {
		row := strings.Split(line, "|")
		if len(row) == 1 {
			continue // a heading or blank
		}
		bases := strings.Fields(row[0])
		for i, column := range row[1:] {
			for _, entry := range strings.Fields(column) {
				types := mediatype.ByExtension("." + entry)
				if strings.Contains(entry, "/") {
					types = []string{entry}
				}
				for _, typ := range types {
					add(typ, bases, i == 0)
				}
			}
		}
	}
	return forms
}

// missed are signatures that mimetype does not know. Each may have two parts.
var missed = []struct {
	magic  string
	offset int
	second string
	typ    string
}{
	{"II+\x00", 4, "\x08\x00", "image/tiff"}, {"MM\x00+", 4, "\x00\x08", "image/tiff"}, // BigTIFF
	{"BM", 14, "\x0c\x00\x00\x00", "image/bmp"},
	{"fLaC", 5, "\x00\x00\x22", "audio/flac"},
	{"RF64", 8, "WAVE", "audio/wav"}, {"BW64", 8, "WAVE", "audio/wav"}, // over 4 GiB
	{"FORM", 8, "AIFC", "audio/aiff"},
	{"\x00", 4, "wide", "video/quicktime"}, {"\x00", 4, "mdat", "video/quicktime"}, // before there was ftyp
	{"\x00\x01\x00\x00\x00", 5, "", "font/ttf"}, {"true\x00", 5, "", "font/ttf"}, {"OTTO\x00", 5, "", "font/otf"},
}
