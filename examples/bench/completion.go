package main

// A lane describes the requests to the store in one kind of completion.
type lane struct {
	title    string
	requests []storeRequest
}

// A storeRequest starts after Turn sequential requests have ended. A late
// request starts after the response to the client.
type storeRequest struct {
	Operation, Key string
	Turn           int
	Late           bool
}

// The keys of a completion.
const (
	uploadKey = "upload"
	finalKey  = "final"
)

// completions lists the lanes of the plot. The first lane is the first design.
// TestCompletionsMatchPlot compares the other lanes with the actual requests.
var completions = []lane{
	{"before: 9 requests, one after another", inTurn(
		"HEAD", finalKey, "HEAD", uploadKey, "GET", uploadKey, "HEAD", finalKey, "COPY", finalKey,
		"HEAD", finalKey, "HEAD", finalKey, "GET", finalKey, "DELETE", uploadKey,
	)},
	{"now: 5 requests, 3 steps until the response", []storeRequest{
		{"GET", uploadKey, 0, false}, {"GET", finalKey, 0, false},
		{"COPY", finalKey, 1, false}, {"GET", finalKey, 2, false}, {"DELETE", uploadKey, 3, true},
	}},
	{"now, at AWS: 4 requests, 2 steps until the response", []storeRequest{
		{"GET", uploadKey, 0, false}, {"GET", finalKey, 0, false},
		{"COPY", finalKey, 1, false}, {"DELETE", uploadKey, 2, true},
	}},
}

// inTurn returns requests that follow one another, from pairs of an operation
// and a key.
func inTurn(pairs ...string) []storeRequest {
	var requests []storeRequest
	for i := 0; i < len(pairs); i += 2 {
		requests = append(requests, storeRequest{pairs[i], pairs[i+1], i / 2, false})
	}
	return requests
}

// plotCompletions returns an SVG picture of lanes. Each request has the same
// width, and time runs from left to right.
func plotCompletions(lanes []lane) string {
	const left, width, height, gap = 24, 74, 34, 4
	p := new(picture)
	p.text(left, 32, "title", "A completion's requests to the store, over time")
	y := 60
	for _, l := range lanes {
		p.text(left, y, "", l.title)
		y += 12
		rows := make(map[int]int) // by turn
		deepest, response := 1, 0
		for _, r := range l.requests {
			class, letters := "own", "inverse"
			if r.Late {
				class, letters = "late", "middle"
			} else {
				response = max(response, r.Turn+1)
			}
			x, top := left+r.Turn*width, y+rows[r.Turn]*(height+gap)
			if r.Late {
				x += gap * 2 // room for the line of the response
			}
			p.box(x, top, width-gap, height, class)
			p.text(x+(width-gap)/2, top+15, letters, r.Operation)
			p.text(x+(width-gap)/2, top+28, letters, r.Key)
			rows[r.Turn]++
			deepest = max(deepest, rows[r.Turn])
		}
		bottom := y + deepest*(height+gap) - gap
		x := left + response*width
		p.line(x, y-4, bottom+4)
		p.text(x+4, bottom+14, "response", "the client has the response")
		y = bottom + 46
	}
	p.text(left, y-12, "note", "Each box is one request. All requests take the same time. "+
		"Requests in one column run at once.")
	return p.svg(left+9*width+160, y+4,
		"Requests of a completion: nine in a row before, three steps now, two at AWS")
}
