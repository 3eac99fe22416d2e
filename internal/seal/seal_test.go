package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha3"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// secret returns a secret of 32 bytes that differs for each n.
func secret(n byte) []byte {
	sum := sha3.Sum256([]byte{n})
	return sum[:]
}

func keyring(t testing.TB, secrets ...[]byte) *Keyring {
	t.Helper()
	k, err := New(secrets, "s3.example", "bucket", "uploads/")
	require.NoError(t, err)
	return k
}

func TestOpenReturnsSealedPayload(t *testing.T) {
	k := keyring(t, secret(1))
	for _, size := range []int{
		0, 1, 2, 3, 11, 12, 13, 15, 16, 17, 100, 101, 102, 1000, MaxPayload,
	} {
		payload := bytes.Repeat([]byte("p"), size)
		sealed := k.Seal("stamp", payload, "key")
		require.Regexp(t, `^A[A-Za-z0-9_-]+$`, sealed)
		require.Len(t, sealed, 1+((40+size)*8+5)/6)
		opened, err := k.Open("stamp", sealed, "key")
		require.NoError(t, err)
		require.True(t, bytes.Equal(payload, opened))
	}

	long := strings.Repeat("k", 1<<20)
	opened, err := k.Open(long, k.Seal(long, []byte("p"), long), long)
	require.NoError(t, err)
	require.Equal(t, "p", string(opened))

	require.PanicsWithValue(t, "seal: the payload must have at most 4096 bytes, got 4097", func() {
		k.Seal("stamp", make([]byte, MaxPayload+1))
	})
}

func TestSealsDiffer(t *testing.T) {
	k, seen := keyring(t, secret(1)), map[string]bool{}
	for range 10_000 {
		seen[k.Seal("stamp", []byte("the same"), "key")] = true
	}
	require.Len(t, seen, 10_000)
}

// TestSaltIsReplaced checks that the key of one salt seals a limited number of
// texts.
func TestSaltIsReplaced(t *testing.T) {
	k, texts := keyring(t, secret(1)), map[string]int{}
	for range 2*saltTexts + 1 {
		sealed := k.Seal("stamp", nil)
		texts[sealed[:len(version)+saltSize/3*4]]++
	}
	require.Len(t, texts, 3)
	for _, count := range texts {
		require.LessOrEqual(t, count, saltTexts)
	}
}

func TestNewRejectsWeakSecrets(t *testing.T) {
	for want, secrets := range map[string][][]byte{
		"there must be at least one key":                                   nil,
		"key 1 must have at least 32 random bytes, got none":               {nil},
		"key 2 must have at least 32 random bytes, got 31":                 {secret(1), secret(2)[:31]},
		"key 1 must be random, got one byte repeated":                      {make([]byte, 32)},
		"key 2 must be random, got one byte repeated":                      {secret(1), bytes.Repeat([]byte("x"), 64)},
		"key 1 must have at least 32 random bytes, got 2\nkey 2 must have": {[]byte("pw"), []byte("pass")},
	} {
		_, err := New(secrets)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "pw")
	}

	// All bytes of a longer secret count, and later changes of the slice have
	// no effect.
	long := append(secret(1), secret(2)...)
	k := keyring(t, long)
	sealed := k.Seal("stamp", nil)
	clear(long)
	_, err := k.Open("stamp", sealed)
	require.NoError(t, err)
	_, err = keyring(t, secret(1)).Open("stamp", sealed)
	require.ErrorIs(t, err, ErrInvalid)
}

func TestEverySecretOpens(t *testing.T) {
	old, fresh := secret(1), secret(2)
	stages := []*Keyring{
		keyring(t, old), keyring(t, old, fresh), keyring(t, fresh, old), keyring(t, fresh),
	}
	opens := [][]bool{ // by the stage that seals, then by the stage that opens
		{true, true, true, false},
		{true, true, true, false},
		{false, true, true, true},
		{false, true, true, true},
	}
	for i, sealing := range stages {
		sealed := sealing.Seal("stamp", []byte("payload"), "key")
		for j, opening := range stages {
			payload, err := opening.Open("stamp", sealed, "key")
			if !opens[i][j] {
				require.ErrorIs(t, err, ErrInvalid, "%d %d", i, j)
				continue
			}
			require.NoError(t, err, "%d %d", i, j)
			require.Equal(t, "payload", string(payload))
		}
	}
}

// TestOpenRequiresScope checks that a text opens for exactly one context,
// purpose and binding, but not for similar strings.
func TestOpenRequiresScope(t *testing.T) {
	type scope struct{ context, purposeAndBind []string }
	scopes := []scope{
		{[]string{"host", "bucket"}, []string{"stamp", "key"}},
		{[]string{"host", "bucket"}, []string{"stamp"}},
		{[]string{"host", "bucket"}, []string{"stamp", ""}},
		{[]string{"host", "bucket"}, []string{"stamp", "key", ""}},
		{[]string{"host", "bucket"}, []string{"stamp", "", "key"}},
		{[]string{"host", "bucket"}, []string{"stamp", "k", "ey"}},
		{[]string{"host", "bucket"}, []string{"stamp", "Key"}},
		{[]string{"host", "bucket"}, []string{"stampkey"}},
		{[]string{"host", "bucket"}, []string{"stamp\x03key"}},
		{[]string{"host", "bucket"}, []string{"", "stamp", "key"}},
		{[]string{"host", "bucket"}, []string{"key", "stamp"}},
		{[]string{"host", "bucket"}, []string{"multipart", "key"}},
		{[]string{"host", "bucket"}, []string{""}},
		{[]string{"bucket", "host"}, []string{"stamp", "key"}},
		{[]string{"hostbucket"}, []string{"stamp", "key"}},
		{[]string{"host\x06bucket"}, []string{"stamp", "key"}},
		{[]string{"host", "bucket", ""}, []string{"stamp", "key"}},
		{[]string{"host", "", "bucket"}, []string{"stamp", "key"}},
		{[]string{"", "host", "bucket"}, []string{"stamp", "key"}},
		{[]string{"host"}, []string{"bucket", "stamp", "key"}},
		{[]string{"host", "bucket", "stamp"}, []string{"key"}},
		{[]string{""}, []string{"stamp", "key"}},
		{nil, []string{"stamp", "key"}},
	}
	ring := func(s scope) *Keyring {
		k, err := New([][]byte{secret(1)}, s.context...)
		require.NoError(t, err)
		return k
	}
	for i, a := range scopes {
		sealed := ring(a).Seal(a.purposeAndBind[0], []byte("payload"), a.purposeAndBind[1:]...)
		for j, b := range scopes {
			payload, err := ring(b).Open(b.purposeAndBind[0], sealed, b.purposeAndBind[1:]...)
			if i != j {
				require.Equal(t, ErrInvalid, err, "%q %q", a, b)
				require.Nil(t, payload)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, "payload", string(payload))
		}
	}
}

func TestOpenRejectsMutations(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	k := keyring(t, secret(1), secret(2))
	random := rand.New(rand.NewPCG(1, 2))
	payload := []byte(`{"number":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","owner":"ann","type":"image/png"}`)
	var sealed []string
	for n := range 8 { // The lengths have all remainders of three, so some texts have spare bits.
		sealed = append(sealed, k.Seal("stamp", payload[:len(payload)-n], "key"))
	}
	kinds := map[string]func(s string) string{
		"bit": func(s string) string {
			b := []byte(s)
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			return string(b)
		},
		"character": func(s string) string {
			i := random.IntN(len(s))
			return s[:i] + string(alphabet[random.IntN(64)]) + s[i+1:]
		},
		"last character": func(s string) string {
			return s[:len(s)-1] + string(alphabet[random.IntN(64)])
		},
		"truncated": func(s string) string { return s[:random.IntN(len(s))] },
		"beheaded":  func(s string) string { return s[1+random.IntN(len(s)-1):] },
		"cut":       func(s string) string { i := random.IntN(len(s)); return s[:i] + s[i+1:] },
		"extended":  func(s string) string { return s + string(alphabet[random.IntN(64)]) },
		"padded":    func(s string) string { return s + strings.Repeat("=", 1+random.IntN(3)) },
		"line break": func(s string) string {
			i := random.IntN(len(s) + 1)
			return s[:i] + "\r\n"[random.IntN(2):] + s[i:]
		},
		"space": func(s string) string { i := random.IntN(len(s) + 1); return s[:i] + " " + s[i:] },
		"twice": func(s string) string { return s + s },
		"long":  func(s string) string { return s + strings.Repeat("A", random.IntN(10_000)) },
		"spliced": func(s string) string {
			other := sealed[random.IntN(len(sealed))]
			i := random.IntN(len(s))
			return s[:i] + other[min(i, len(other)):]
		},
		"standard alphabet": func(s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) },
		"swapped": func(s string) string {
			b := []byte(s)
			i, j := random.IntN(len(b)), random.IntN(len(b))
			b[i], b[j] = b[j], b[i]
			return string(b)
		},
	}
	genuine := make(map[string]bool)
	for _, s := range sealed {
		genuine[s] = true
	}
	tried := 0
	for name, mutate := range kinds {
		for range 1500 {
			mutated := mutate(sealed[random.IntN(len(sealed))])
			if genuine[mutated] {
				continue
			}
			tried++
			opened, err := k.Open("stamp", mutated, "key")
			require.True(t, err == ErrInvalid && opened == nil, "%s: %q: %v", name, mutated, err)
		}
	}
	require.Greater(t, tried, 10_000)
}

func TestOpenRejectsMalformedTexts(t *testing.T) {
	k := keyring(t, secret(1))
	for _, s := range []string{
		"", "A", "B", "A=", "AAAA", "a" + strings.Repeat("A", 54), strings.Repeat("A", 54),
		strings.Repeat("A", 55),
		strings.Repeat("A", 56), "A" + strings.Repeat("\n", 54), "A" + strings.Repeat("é", 30),
		"\x00" + strings.Repeat("A", 54), "A" + strings.Repeat("A", 1<<20),
		strings.Repeat("A", 5515), strings.Repeat("A", 5516), strings.Repeat("A", 5517),
	} {
		_, err := k.Open("stamp", s)
		require.Equal(t, ErrInvalid, err)
	}
}

func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	k := keyring(t, secret(1), secret(2))
	sealed := k.Seal("stamp", []byte("payload"), "key")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				for _, s := range []string{sealed, k.Seal("stamp", []byte("payload"), "key")} {
					if p, err := k.Open("stamp", s, "key"); err != nil || string(p) != "payload" {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestKnownAnswers checks the vectors of
// https://c2sp.org/XAES-256-GCM#test-vectors.
func TestKnownAnswers(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, v := range []struct {
		key             byte
		aad, ciphertext string
	}{
		// MSB₁(L) = 0
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		// MSB₁(L) = 1
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		secret := bytes.Repeat([]byte{v.key}, 32)
		ciphertext, err := hex.DecodeString(v.ciphertext)
		require.NoError(t, err)
		opened, err := open(secret, nonce, ciphertext, []byte(v.aad))
		require.NoError(t, err)
		require.Equal(t, "XAES-256-GCM", string(opened))
		require.Equal(t, ciphertext, xaes(secret, nonce, []byte("XAES-256-GCM"), []byte(v.aad)))
	}
}

// TestAccumulatedVectors checks the published hash of 10,000 ciphertexts of
// random input. The reference xaes seals them, and open opens them.
func TestAccumulatedVectors(t *testing.T) {
	random, digest := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		random.Read(b)
		return b
	}
	for range 10_000 {
		secret, nonce := read(32), read(24)
		plaintext := read(int(read(1)[0]))
		aad := read(int(read(1)[0]))
		ciphertext := xaes(secret, nonce, plaintext, aad)
		digest.Write(ciphertext)
		opened, err := open(secret, nonce, ciphertext, aad)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, opened))
	}
	sum := make([]byte, 32)
	digest.Read(sum)
	require.Equal(t, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939",
		hex.EncodeToString(sum))
}

func open(k, n, ciphertext, aad []byte) ([]byte, error) {
	return newKey(k).aead(n[:saltSize]).Open(nil, nil,
		append(slices.Clone(n[saltSize:]), ciphertext...), aad)
}

// xaes encrypts with XAES-256-GCM. It is a literal translation of the
// specification.
func xaes(k, n, plaintext, aad []byte) []byte {
	block, _ := aes.NewCipher(k)
	l := make([]byte, 16)
	block.Encrypt(l, l)
	msb := l[0] >> 7
	k1 := make([]byte, 16)
	for i := range 15 {
		k1[i] = l[i]<<1 | l[i+1]>>7
	}
	k1[15] = l[15] << 1
	if msb == 1 {
		k1[15] ^= 0x87
	}
	var kx []byte
	for _, counter := range []byte{1, 2} {
		m := append([]byte{0x00, counter, 0x58, 0x00}, n[:12]...)
		for i := range m {
			m[i] ^= k1[i]
		}
		block.Encrypt(m, m)
		kx = append(kx, m...)
	}
	block, _ = aes.NewCipher(kx)
	gcm, _ := cipher.NewGCM(block)
	return gcm.Seal(nil, n[12:], plaintext, aad)
}

// genuine is a text that must open as long as Open supports its version.
const genuine = "AyPlpK6DMqJqAUrGTSzxh3nni-2wi5wTpAoRmdigF6ozt3-w_R5nEU6qWTvhNbps"

func FuzzOpen(f *testing.F) {
	k, err := New([][]byte{secret(1), secret(2)}, "host", "bucket")
	require.NoError(f, err)
	f.Add("stamp", genuine, "key")
	f.Add("stamp", genuine+"A", "key")
	f.Add("stamp", genuine, "kez")
	f.Add("multipart", genuine[1:], "key")
	f.Add("stamp", "A"+strings.Repeat("A", 54), "")
	f.Fuzz(func(t *testing.T, purpose, sealed, bind string) {
		payload, err := k.Open(purpose, sealed, bind)
		if purpose == "stamp" && sealed == genuine && bind == "key" {
			require.NoError(t, err)
			require.Equal(t, "payload", string(payload))
			return
		}
		require.Equal(t, ErrInvalid, err)
		require.Nil(t, payload)
	})
}

func FuzzSeal(f *testing.F) {
	k, err := New([][]byte{secret(1)})
	require.NoError(f, err)
	f.Add("stamp", []byte("payload"), "key", "multipart", "kez")
	f.Add("a", []byte{}, "bc", "ab", "c")
	f.Fuzz(func(
		t *testing.T, purpose string, payload []byte, bind, otherPurpose, otherBind string,
	) {
		if len(payload) > MaxPayload {
			return
		}
		sealed := k.Seal(purpose, payload, bind)
		opened, err := k.Open(purpose, sealed, bind)
		require.NoError(t, err)
		require.True(t, bytes.Equal(payload, opened))
		if otherPurpose != purpose || otherBind != bind {
			_, err = k.Open(otherPurpose, sealed, otherBind)
			require.Equal(t, ErrInvalid, err)
		}
		_, err = k.Open(purpose, sealed)
		require.Equal(t, ErrInvalid, err)
		_, err = k.Open(purpose, sealed, bind, "")
		require.Equal(t, ErrInvalid, err)
	})
}

func BenchmarkSeal(b *testing.B) {
	k, payload := keyring(b, secret(1)), make([]byte, 160)
	b.ReportAllocs()
	for b.Loop() {
		k.Seal("stamp", payload, "uploads/ABCDEFGHIJKLMNOPQRSTUVWXYZ/file.png")
	}
}

func BenchmarkOpen(b *testing.B) {
	k := keyring(b, secret(1))
	sealed := k.Seal("stamp", make([]byte, 160), "uploads/ABCDEFGHIJKLMNOPQRSTUVWXYZ/file.png")
	b.ReportAllocs()
	for b.Loop() {
		_, err := k.Open("stamp", sealed, "uploads/ABCDEFGHIJKLMNOPQRSTUVWXYZ/file.png")
		if err != nil {
			b.Fatal(err)
		}
	}
}
