package mediatype

import (
	"slices"
	"strings"
)

// maxExtension is the length of the longest extension in the table.
const maxExtension = 17

// table has a row for each family of extensions:
//
//	extensions | names of one format | other types
//
// The first name of a format is the preferred name.
//
// Same compares types by the middle column: rows with the same preferred type
// are one format. The last column holds other types that browsers and systems
// declare by the extension alone, because
//   - another format has the same extension (".ts", ".key"),
//   - a program has changed the type of the extension (a ".csv" is
//     application/vnd.ms-excel on Windows with Excel), or
//   - a system has only text/plain for the extension.
//
// A row whose preferred type is active has active types only, so that a file
// name cannot make active content pass as text.
const table = media + `
# Documents
pdf               | application/pdf application/x-pdf application/acrobat application/nappdf text/pdf
doc               | application/msword application/vnd.ms-word application/x-msword application/vnd.msword application/wps-office.doc | application/kswps application/rtf
dot               | application/msword application/msword-template | text/vnd.graphviz text/plain
docx              | application/vnd.openxmlformats-officedocument.wordprocessingml.document application/wps-office.docx | application/kswps
docm              | application/vnd.ms-word.document.macroenabled.12
dotx              | application/vnd.openxmlformats-officedocument.wordprocessingml.template
dotm              | application/vnd.ms-word.template.macroenabled.12
xls xlt xla xlm xlc xld xlw | application/vnd.ms-excel application/msexcel application/x-msexcel application/vnd.msexcel application/excel application/x-excel application/wps-office.xls | application/kset
xlsx              | application/vnd.openxmlformats-officedocument.spreadsheetml.sheet application/wps-office.xlsx | application/kset
xlsm              | application/vnd.ms-excel.sheet.macroenabled.12
xlsb              | application/vnd.ms-excel.sheet.binary.macroenabled.12
xltx              | application/vnd.openxmlformats-officedocument.spreadsheetml.template
xltm              | application/vnd.ms-excel.template.macroenabled.12
xlam              | application/vnd.ms-excel.addin.macroenabled.12
ppt pps ppa ppz   | application/vnd.ms-powerpoint application/mspowerpoint application/x-mspowerpoint application/powerpoint application/wps-office.ppt | application/ksdps
pptx              | application/vnd.openxmlformats-officedocument.presentationml.presentation application/wps-office.pptx | application/ksdps
pptm              | application/vnd.ms-powerpoint.presentation.macroenabled.12
ppsx              | application/vnd.openxmlformats-officedocument.presentationml.slideshow
ppsm              | application/vnd.ms-powerpoint.slideshow.macroenabled.12
potx              | application/vnd.openxmlformats-officedocument.presentationml.template
potm              | application/vnd.ms-powerpoint.template.macroenabled.12
odt               | application/vnd.oasis.opendocument.text application/x-vnd.oasis.opendocument.text
ott               | application/vnd.oasis.opendocument.text-template
ods               | application/vnd.oasis.opendocument.spreadsheet application/x-vnd.oasis.opendocument.spreadsheet
ots               | application/vnd.oasis.opendocument.spreadsheet-template
odp               | application/vnd.oasis.opendocument.presentation application/x-vnd.oasis.opendocument.presentation
otp               | application/vnd.oasis.opendocument.presentation-template
odg               | application/vnd.oasis.opendocument.graphics
otg               | application/vnd.oasis.opendocument.graphics-template
odf               | application/vnd.oasis.opendocument.formula
odc               | application/vnd.oasis.opendocument.chart | text/x-ms-odc
odb               | application/vnd.oasis.opendocument.base application/vnd.oasis.opendocument.database
fodt              | application/vnd.oasis.opendocument.text-flat-xml | application/xml text/xml
fods              | application/vnd.oasis.opendocument.spreadsheet-flat-xml | application/xml text/xml
fodp              | application/vnd.oasis.opendocument.presentation-flat-xml | application/xml text/xml
fodg              | application/vnd.oasis.opendocument.graphics-flat-xml | application/xml text/xml
sxw               | application/vnd.sun.xml.writer
sxc               | application/vnd.sun.xml.calc
sxi               | application/vnd.sun.xml.impress
rtf rtx           | application/rtf text/rtf application/x-rtf text/richtext | application/msword text/plain
pages             | application/vnd.apple.pages application/x-iwork-pages-sffpages
numbers           | application/vnd.apple.numbers application/x-iwork-numbers-sffnumbers
keynote           | application/vnd.apple.keynote application/x-iwork-keynote-sffkey
key               | application/vnd.apple.keynote application/x-iwork-keynote-sffkey | application/pgp-keys application/x-pem-file application/pkcs8 text/plain
epub              | application/epub+zip application/x-epub+zip
mobi prc          | application/x-mobipocket-ebook | application/vnd.palm application/x-pilot model/prc
azw azw3 kfx      | application/vnd.amazon.mobi8-ebook application/x-mobi8-ebook application/vnd.amazon.ebook
fb2               | application/x-fictionbook+xml
cbz               | application/vnd.comicbook+zip application/x-cbz | application/zip application/x-cbr
cbr               | application/vnd.comicbook-rar application/x-cbr | application/vnd.rar application/x-rar
cb7               | application/x-cb7 | application/x-cbr
cbt               | application/x-cbt | application/x-cbr
cba               | application/x-cba | application/x-cbr
ps eps epsf epsi eps2 eps3 | application/postscript application/eps application/x-eps image/eps image/x-eps
ai                | application/illustrator application/vnd.adobe.illustrator | application/postscript application/pdf
indd              | application/x-indesign
cdr               | application/vnd.corel-draw application/coreldraw application/x-coreldraw application/cdr application/x-cdr image/x-cdr image/x-coreldraw
vsd vss vsw       | application/vnd.visio application/x-visio
vst               | application/vnd.visio application/x-visio | image/x-tga
vsdx vsdm vssx vstx vssm vstm | application/vnd.ms-visio.drawing
mpp mpt           | application/vnd.ms-project application/msproject application/x-project | audio/x-musepack
pub               | application/x-mspublisher application/vnd.ms-publisher | text/plain
one onea onepkg onetmp onetoc onetoc2 | application/onenote application/msonenote
wps wks wcm wdb xlr | application/vnd.ms-works | application/vnd.lotus-1-2-3
wpd wp wp4 wp5 wp6 wpp | application/vnd.wordperfect application/wordperfect application/x-wordperfect
xps               | application/vnd.ms-xpsdocument application/xps
oxps              | application/oxps
hwp               | application/x-hwp application/vnd.hancom.hwp application/haansofthwp application/vnd.haansoft-hwp
hwpx              | application/vnd.hancom.hwpx application/haansofthwpx
chm               | application/vnd.ms-htmlhelp application/x-chm | chemical/x-chemdraw

# Text
txt text          | text/plain
log               | text/plain | text/x-log
md markdown mkd   | text/markdown text/x-markdown | text/plain
csv               | text/csv text/x-csv application/csv application/x-csv text/comma-separated-values text/x-comma-separated-values | application/vnd.ms-excel application/vnd.msexcel application/msexcel application/excel text/plain
tsv tab           | text/tab-separated-values text/tsv text/x-tsv | application/vnd.ms-excel text/csv text/plain
json              | application/json text/json application/x-json | application/schema+json text/plain
jsonl ndjson      | application/x-ndjson application/ndjson application/jsonl application/x-jsonl application/jsonlines application/x-jsonlines | application/json text/plain
json5             | application/json5 | application/json text/plain
jsonld            | application/ld+json | application/json text/plain
geojson           | application/geo+json application/vnd.geo+json | application/json text/plain
topojson          | application/topo+json | application/json text/plain
ipynb             | application/x-ipynb+json | application/json text/plain
webmanifest       | application/manifest+json | application/json text/plain
map har           | application/json | text/plain
yaml yml          | application/yaml text/yaml text/x-yaml application/x-yaml text/vnd.yaml | text/plain
toml              | application/toml text/x-toml text/toml | text/plain
ini cfg conf properties env | text/plain | text/x-ini application/x-wine-extension-ini text/x-java-properties
ics ifb ical icalendar | text/calendar application/ics | text/x-vcalendar text/plain
vcs               | text/x-vcalendar | text/calendar text/plain
vcf vcard         | text/vcard text/x-vcard text/directory | text/plain
srt               | application/x-subrip application/x-srt text/srt text/x-srt | text/plain
vtt               | text/vtt | text/plain
ass ssa           | text/x-ssa text/x-ass | text/plain audio/aac
sub               | text/x-microdvd | text/x-mpsub text/x-subviewer text/plain image/vnd.dvb.subtitle text/vnd.dvb.subtitle
tex ltx sty cls   | text/x-tex application/x-tex application/x-latex text/x-latex | text/plain
bib               | text/x-bibtex application/x-bibtex | text/plain
rst               | text/x-rst text/prs.fallenstein.rst | text/plain
adoc asciidoc     | text/asciidoc text/x-asciidoc | text/plain
org               | text/org text/x-org | text/plain application/vnd.lotus-organizer
po                | text/x-gettext-translation text/x-po application/x-gettext | text/plain
pot               | application/vnd.ms-powerpoint | text/x-gettext-translation-template text/x-pot text/plain
diff patch        | text/x-diff text/x-patch | text/plain
plist             | application/x-plist | text/plain application/xml text/xml

# Active: browsers run these
html htm shtml shtm ehtml html5 stm | text/html | application/xhtml+xml
xhtml xht xhtm    | application/xhtml+xml | text/html application/xml text/xml application/vnd.pwg-xhtml-print+xml
xml ps1xml resx resw vcxproj csproj vbproj fsproj vcproj sqlproj wixproj nuspec vsixmanifest wxs wxi wxl rng xib storyboard fxml axml jrxml xmi xbrl rdl rdlc edmx dbml dtsx tmx tbx vdx vsx vtx vtu vtp vti qrc urdf xacro dsml | application/xml text/xml
xsl xslt xbl      | application/xslt+xml text/xsl | application/xml text/xml
xsd               | application/xml
dtd               | application/xml-dtd | application/xml text/xml
ent               | application/xml-external-parsed-entity text/xml-external-parsed-entity
rss               | application/rss+xml application/x-rss+xml | application/xml text/xml
atom              | application/atom+xml | application/xml text/xml
rdf owl xmp rdfs | application/rdf+xml text/rdf | application/xml text/xml
wsdl              | application/wsdl+xml | application/xml text/xml
xul               | application/vnd.mozilla.xul+xml | application/xml text/xml
xaml              | application/xaml+xml | application/xml text/xml
mathml mml        | application/mathml+xml | application/xml text/xml
kml               | application/vnd.google-earth.kml+xml | application/xml text/xml
gpx               | application/gpx+xml application/x-gpx+xml | application/xml text/xml
tcx               | application/vnd.garmin.tcx+xml | application/xml text/xml
gml               | application/gml+xml | application/xml text/xml
osm               | application/vnd.openstreetmap.data+xml | application/xml text/xml
dae               | model/vnd.collada+xml | application/xml text/xml
x3d               | model/x3d+xml | application/xml text/xml
xlf xliff         | application/xliff+xml application/x-xliff+xml | application/xml text/xml
ttml dfxp         | application/ttml+xml | application/xml text/xml
smil              | application/smil+xml | application/xml text/xml
xspf              | application/xspf+xml application/x-xspf+xml | application/xml text/xml
musicxml          | application/vnd.recordare.musicxml+xml | application/xml text/xml
xfdf              | application/vnd.adobe.xfdf | application/xml text/xml
xdp               | application/vnd.adobe.xdp+xml | application/xml text/xml
dita ditamap ditaval | application/dita+xml | application/xml text/xml
graphml           | application/graphml+xml application/x-graphml+xml | application/xml text/xml
gexf              | application/gexf+xml | application/xml text/xml
dbk docbook       | application/docbook+xml application/x-docbook+xml | application/xml text/xml
tei teicorpus     | application/tei+xml | application/xml text/xml
mets              | application/mets+xml | application/xml text/xml
mods              | application/mods+xml | application/xml text/xml
mads              | application/mads+xml | application/xml text/xml
mrcx              | application/marcxml+xml | application/xml text/xml
ncx               | application/x-dtbncx+xml | application/xml text/xml
opf               | application/oebps-package+xml | application/xml text/xml
dtb               | application/x-dtbook+xml | application/xml text/xml
wadl              | application/vnd.sun.wadl+xml | application/xml text/xml
sbml              | application/sbml+xml | application/xml text/xml
cdxml             | application/vnd.chemdraw+xml | application/xml text/xml
cml               | chemical/x-cml+xml | application/cellml+xml application/xml text/xml
owx               | application/owl+xml | application/xml text/xml
csl               | application/vnd.citationstyles.style+xml | application/xml text/xml
ssml              | application/ssml+xml | application/xml text/xml
vxml              | application/voicexml+xml | application/xml text/xml
ccxml             | application/ccxml+xml | application/xml text/xml
scxml             | application/scxml+xml | application/xml text/xml
grxml             | application/srgs+xml | application/xml text/xml
srx               | application/sparql-results+xml | application/xml text/xml
metalink          | application/metalink+xml | application/xml text/xml
meta4             | application/metalink4+xml | application/xml text/xml
inkml ink         | application/inkml+xml | application/xml text/xml
yin               | application/yin+xml | application/xml text/xml
xpl               | application/xproc+xml | application/xml text/xml
bpmn              | application/bpmn+xml | application/xml text/xml
dmn               | application/dmn+xml | application/xml text/xml
mei               | application/mei+xml application/vnd.mei+xml | application/xml text/xml
osdx              | application/opensearchdescription+xml | application/xml text/xml
f4m               | application/f4m+xml | application/xml text/xml
aml               | application/automationml-aml+xml | application/xml text/xml
swidtag           | application/swid+xml | application/xml text/xml
its               | application/its+xml | application/xml text/xml
emma              | application/emma+xml | application/xml text/xml
rsd               | application/rsd+xml | application/xml text/xml
opml              | text/x-opml+xml | application/xml text/xml
mpkg              | application/vnd.apple.installer+xml
css               | text/css
js mjs cjs        | text/javascript application/javascript application/x-javascript text/x-javascript application/ecmascript text/ecmascript text/jscript
wasm              | application/wasm
swf               | application/x-shockwave-flash application/vnd.adobe.flash.movie application/futuresplash
hta               | application/hta text/hta
htc               | text/x-component
vbs vbe vb jse ws wsf wsh wsc sct | text/vbscript text/vbs | text/scriptlet text/x-scriptlet
mht mhtml         | multipart/related application/x-mimearchive | message/rfc822
eml               | message/rfc822
webarchive        | application/x-webarchive

# Source code
tsx               | text/tsx | text/typescript text/x-typescript application/typescript application/x-typescript text/plain
jsx               | text/jsx | text/plain
scss              | text/x-scss text/scss | text/plain
sass              | text/x-sass text/sass | text/plain
less              | text/x-less text/less | text/plain
vue               | text/x-vue text/vue | text/plain
coffee            | text/coffeescript text/x-coffeescript application/vnd.coffeescript | text/plain
go                | text/x-go | text/plain
rs                | text/rust text/x-rust | text/plain
py pyw            | text/x-python text/x-python-script text/x-script.python application/x-python text/x-python3 | text/plain
rb                | text/x-ruby application/x-ruby text/ruby-script text/x-ruby-script | text/plain
php php5 phtml phar | application/x-httpd-php application/x-php text/x-php text/php text/x-php-script | text/plain
pl pm             | text/x-perl application/x-perl text/x-perl-script | text/plain application/x-pagemaker
lua               | text/x-lua application/x-lua | text/plain
sh bash zsh       | application/x-sh text/x-sh application/x-shellscript text/x-shellscript text/x-script.sh | text/plain
asp aspx          | application/x-asp text/asp text/x-asp | text/plain
jsp               | application/x-jsp text/x-jsp | text/plain
bat cmd           | application/x-bat application/bat text/x-bat | application/x-msdos-program text/plain
ps1 psm1 psd1     | application/x-powershell text/x-powershell | text/plain
c                 | text/x-c text/x-csrc | text/x-c++src text/plain
h                 | text/x-chdr | text/x-c text/plain
cc cpp cxx        | text/x-c++ text/x-c++src text/x-cpp | text/x-c text/plain
hh hpp hxx        | text/x-c++hdr | text/x-c text/x-chdr text/plain
cs                | text/x-csharp | text/plain
java              | text/x-java text/x-java-source | text/plain
kt kts            | text/x-kotlin | text/plain
scala             | text/x-scala | text/plain
groovy gradle     | text/x-groovy | text/x-gradle text/plain
swift             | text/x-swift text/swift | text/plain
m                 | text/x-objcsrc text/x-objective-c | text/x-matlab text/x-octave text/plain application/vnd.wolfram.mathematica.package
mm                | text/x-objc++src | application/x-freemind text/x-troff-mm text/plain
dart              | text/x-dart application/dart application/vnd.dart | text/plain
r                 | text/x-r text/x-r-source | text/plain
jl                | text/x-julia text/julia | text/plain
hs                | text/x-haskell | text/plain
erl               | text/x-erlang | text/plain
ex exs            | text/x-elixir | text/plain
clj               | text/x-clojure | text/plain
sql               | application/sql text/x-sql application/x-sql | text/plain
proto             | text/x-protobuf | text/plain
graphql gql       | application/graphql | text/plain

# Archives
zip               | application/zip application/x-zip-compressed application/x-zip
gz                | application/gzip application/x-gzip application/x-gunzip application/gzipped | application/x-compressed
tgz               | application/gzip | application/x-compressed-tar application/x-tgz application/x-gtar-compressed application/x-compressed
tar               | application/x-tar application/tar application/x-gtar
bz2 bz            | application/x-bzip2 application/bzip2 application/x-bzip application/bzip
tbz tbz2          | application/x-bzip2 | application/x-bzip-compressed-tar application/x-bzip2-compressed-tar
xz                | application/x-xz application/xz
txz               | application/x-xz | application/x-xz-compressed-tar
zst               | application/zstd application/x-zstd
lz4               | application/x-lz4 application/lz4
lz                | application/x-lzip application/lzip
lzma              | application/x-lzma
br                | application/x-brotli application/brotli
z                 | application/x-compress application/compress
7z                | application/x-7z-compressed application/7z application/x-7z | application/x-compressed
rar               | application/vnd.rar application/x-rar-compressed application/x-rar application/rar | application/x-compressed
cab               | application/vnd.ms-cab-compressed application/x-cab
cpio              | application/x-cpio
lha lzh           | application/x-lzh-compressed application/x-lzh application/x-lha
arj               | application/x-arj
sit               | application/x-stuffit application/x-sit
jar war ear       | application/java-archive application/x-java-archive application/x-jar application/jar
apk               | application/vnd.android.package-archive
xpi               | application/x-xpinstall
crx               | application/x-chrome-extension
torrent           | application/x-bittorrent

# Models and drawings
glb               | model/gltf-binary
gltf              | model/gltf+json | application/json
stl               | model/stl model/x.stl-binary model/x.stl-ascii application/sla | application/vnd.ms-pki.stl text/plain
obj               | model/obj | application/x-tgif text/plain
mtl               | model/mtl | text/plain
ply               | model/ply application/x-ply application/ply | text/plain
3mf               | model/3mf application/vnd.ms-3mfdocument
usdz              | model/vnd.usdz+zip
step stp p21 stpnc | model/step application/step application/x-step | text/plain
iges igs          | model/iges application/iges | text/plain
wrl vrml vrm wrz flr xaf xof | model/vrml x-world/x-vrml | text/plain
blend blender     | application/x-blender
jt                | model/jt
u3d               | model/u3d
usda usdc usd     | model/vnd.usd model/vnd.usda
dwf               | model/vnd.dwf drawing/x-dwf
x3db              | model/x3d+binary model/x3d+fastinfoset
x3dbz             | model/x3d+binary
x3dv x3dvz        | model/x3d-vrml model/x3d+vrml
skp               | application/vnd.sketchup.skp
gcode             | text/x-gcode text/x.gcode | text/plain
dwg               | image/vnd.dwg image/x-dwg application/acad application/x-acad application/dwg application/x-dwg application/x-autocad
dxf               | image/vnd.dxf image/x-dxf application/dxf application/x-dxf | text/plain

# Data
parquet           | application/vnd.apache.parquet application/x-parquet
avro              | application/avro avro/binary application/vnd.apache.avro+binary
arrow             | application/vnd.apache.arrow.file
sqlite sqlite3    | application/vnd.sqlite3 application/x-sqlite3
mdb accdb         | application/msaccess application/vnd.ms-access application/x-msaccess application/x-mdb application/mdb
dbf               | application/dbf application/x-dbf application/vnd.dbf application/dbase application/x-dbase
gpkg              | application/geopackage+sqlite3
shp               | application/vnd.shp application/x-shapefile
kmz               | application/vnd.google-earth.kmz
las               | application/vnd.las
laz               | application/vnd.laszip
hdf5 h5 hdf       | application/x-hdf5 application/x-hdf
nc                | application/netcdf application/x-netcdf
mat               | application/x-matlab-data
sav               | application/x-spss-sav application/x-spss-savefile
dta               | application/x-stata-dta application/x-stata
sas7bdat          | application/x-sas-data
dcm               | application/dicom
fits fts          | application/fits image/fits image/x-fits
fit               | application/vnd.ant.fit | application/fits image/fits
pcap              | application/vnd.tcpdump.pcap application/x-pcap application/pcap
warc              | application/warc
cbor              | application/cbor
bson              | application/bson
msgpack           | application/vnd.msgpack application/msgpack application/x-msgpack
bin               | application/octet-stream binary/octet-stream application/x-octet-stream application/binary

# Mail
msg oft           | application/vnd.ms-outlook application/x-msg | text/plain
pst ost           | application/vnd.ms-outlook-pst
mbox              | application/mbox

# Keys and certificates
pem               | application/x-pem-file application/pem-certificate-chain | application/x-x509-ca-cert application/x-x509-user-cert application/pkix-cert text/plain
crt cer der       | application/pkix-cert application/x-x509-ca-cert application/x-x509-user-cert | application/x-pem-file text/plain
crl               | application/pkix-crl application/x-pkcs7-crl
csr p10           | application/pkcs10 | text/plain
p12 pfx           | application/x-pkcs12 application/pkcs12
p7b spc           | application/x-pkcs7-certificates | application/pkcs7-mime
p7c p7m           | application/pkcs7-mime application/x-pkcs7-mime
p7s               | application/pkcs7-signature application/x-pkcs7-signature
p8                | application/pkcs8
asc               | application/pgp-keys | application/pgp-signature application/pgp-encrypted text/plain
sig               | application/pgp-signature
gpg pgp           | application/pgp-encrypted application/pgp application/x-pgp-message | application/pgp-keys application/pgp-signature
jks               | application/x-java-keystore
kdbx              | application/x-keepass2
mobileconfig      | application/x-apple-aspen-config | application/xml text/xml
pkpass            | application/vnd.apple.pkpass

# Programs and disk images
exe dll com scr sys cpl | application/vnd.microsoft.portable-executable application/x-msdownload application/x-msdos-program application/x-ms-dos-executable application/x-dosexec application/x-exe
msi msp           | application/x-msi application/x-ms-installer | application/x-msdownload
msix appx         | application/msix application/appx application/vnd.ms-appx
lnk pif scf appref-ms library-ms search-ms settingcontent-ms diagcab | application/x-ms-shortcut
url               | application/internet-shortcut application/x-mswinurl application/x-url
webloc            | application/x-apple-webloc | application/internet-shortcut application/xml text/xml
msc gadget hlp xll application theme inf iqy | application/x-ms-application
slk               | application/x-sylk text/x-sylk
command terminal workflow | application/x-apple-script
reg               | text/x-ms-regedit | text/plain
class             | application/java-vm application/x-java application/x-java-class application/x-java-vm application/java-byte-code application/x-java-applet
pyc               | application/x-python-code application/x-python-bytecode
so                | application/x-sharedlib
elf               | application/x-elf application/x-executable
desktop           | application/x-desktop | text/plain
jnlp              | application/x-java-jnlp-file | application/xml text/xml
dmg               | application/x-apple-diskimage
pkg               | application/x-newton-compatible-pkg application/x-xar
ipa               | application/x-ios-app application/x-itunes-ipa
deb               | application/vnd.debian.binary-package application/x-debian-package application/x-deb
rpm               | application/x-rpm application/x-redhat-package-manager
appimage          | application/vnd.appimage application/x-iso9660-appimage
flatpak           | application/vnd.flatpak
snap              | application/vnd.snap
iso               | application/x-iso9660-image application/x-cd-image application/vnd.efi.iso
img               | application/x-raw-disk-image application/vnd.efi.img
vmdk              | application/x-vmdk-disk application/x-vmdk application/x-virtualbox-vmdk
vhd               | application/x-vhd-disk application/x-virtualbox-vhd | text/x-vhdl text/plain
vhdx              | application/x-vhdx-disk application/x-virtualbox-vhdx
qcow2             | application/x-qemu-disk
ova ovf           | application/ovf application/x-virtualbox-ova application/x-virtualbox-ovf
`

// containers has a row for each format that other formats are made of, with the
// extensions of those formats. Systems without a type for such an extension
// declare the container. Rows of types that are not containers are for systems
// that declare a wrong type.
const containers = `
application/zip   | docx docm dotx dotm xlsx xlsm xlsb xltx xltm xlam pptx pptm ppsx ppsm potx potm vsdx odt ott ods ots odp
application/zip   | otp odg otg odf odc odb sxw sxc sxi pages numbers key epub xps oxps hwpx kra jar war ear apk xpi crx kmz
application/zip   | 3mf usdz pkpass ipa msix appx keynote vsdm vssx vstx vssm vstm cbt
application/gzip  | svgz
application/x-tar | tgz tbz tbz2 txz ova gz bz2 bz xz zst lz lzma z
application/vnd.sqlite3 | gpkg
image/tiff        | dng cr2 nef nrw arw sr2 srf srw raw rw2 orf pef erf kdc dcr 3fr iiq mrw
image/heif        | avif avifs
video/mp4         | mov qt 3gp 3gpp 3g2 3gpp2 mj2 mjp2
video/quicktime   | mp4 m4v mp4v mpg4 f4v 3gp 3gpp 3g2 3gpp2 m4a m4b
video/x-matroska  | weba
application/ogg   | flac
video/x-ms-asf    | asx
video/x-matroska  | mpv
audio/x-matroska  | webm weba
audio/mp4         | aac
application/java-archive | apk xpi
text/plain        | mbox ps eps epsf epsi gltf usda x3dv url inf iqy theme slk command crl las
audio/midi        | rtx xmf mxmf
application/vnd.visio | vsdx vssx vstx vsx vtx
application/vnd.ms-outlook | pst ost

# These end in +xml, but their files are archives.
application/vnd.ms-visio.drawing.main+xml | vsdx
application/vnd.ms-visio.stencil.main+xml | vssx
application/vnd.ms-visio.template.main+xml | vstx
application/vnd.ms-visio.drawing.macroenabled.main+xml | vsdm
application/vnd.ms-visio.stencil.macroenabled.main+xml | vssm
application/vnd.ms-visio.template.macroenabled.main+xml | vstm
application/vnd.ms-package.3dmanufacturing-3dmodel+xml | 3mf
application/vnd.apple.installer+xml | pkg
`

// byExtension holds the types of a row under each of its extensions. formats
// holds the preferred name of a format under each of its names, and
// firstExtension the first extension of a format. shown marks the formats under
// the headings of pictures, videos, audio, documents, fonts, models and mail.
var byExtension, formats, firstExtension, shown = load(table)

// contents holds the extensions of each container's row.
var contents = loadContainers(containers)

// shownHeadings are the headings of formats that people open to view or play.
const shownHeadings = "# Images # Video # Audio # Documents # Fonts # Models and drawings # Mail"

func load(table string) (byExtension map[string][]string, formats, firstExtension map[string]string, shown map[string]bool) {
	byExtension, formats = make(map[string][]string, 1024), make(map[string]string, 2048)
	firstExtension, shown = make(map[string]string, 1024), make(map[string]bool, 512)
	section := false
	for line := range strings.Lines(table) {
		row := strings.Split(line, "|")
		if len(row) == 1 {
			if strings.HasPrefix(line, "# ") {
				section = strings.Contains(shownHeadings, strings.TrimSpace(line))
			}
			continue
		}
		types := strings.Fields(row[1])
		for _, name := range types {
			formats[name] = types[0]
		}
		if section {
			shown[types[0]] = true
		}
		if firstExtension[types[0]] == "" {
			firstExtension[types[0]] = strings.Fields(row[0])[0]
		}
		if len(row) == 3 {
			types = append(types, strings.Fields(row[2])...)
		}
		for _, extension := range strings.Fields(row[0]) {
			byExtension[extension] = slices.Clip(types)
		}
	}
	return byExtension, formats, firstExtension, shown
}

func loadContainers(table string) map[string][]string {
	contents := make(map[string][]string)
	for line := range strings.Lines(table) {
		if container, extensions, ok := strings.Cut(line, "|"); ok {
			format := formatOf(strings.TrimSpace(container))
			contents[format] = append(contents[format], strings.Fields(extensions)...)
		}
	}
	return contents
}
