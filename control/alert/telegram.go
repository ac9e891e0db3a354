package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	telegramAPI = "https://api.telegram.org"
	// telegramPause keeps to 20 messages a minute, which is what a group takes.
	telegramPause = 3 * time.Second
	// telegramText is how many UTF-16 units a message may have, less some for the rest.
	telegramText = 4000
	// telegramBatch is how many messages become one while many wait.
	telegramBatch = 10
)

// telegram sends messages by a bot.
type telegram struct {
	httpSender
	r Receiver
}

func (*telegram) most() int            { return telegramBatch }
func (*telegram) pause() time.Duration { return telegramPause }

func (t *telegram) send(ctx context.Context, batch []Message) (string, error) {
	body, err := json.Marshal(map[string]any{"chat_id": t.r.Chat, "text": telegramMessage(batch), "disable_web_page_preview": true})
	if err != nil {
		return "", err
	}
	address := strings.TrimSuffix(cmp.Or(t.r.URL, telegramAPI), "/") + "/bot" + t.r.Secret + "/sendMessage"
	answer, _, err := t.do(ctx, http.MethodPost, address, body, http.Header{"Content-Type": {"application/json"}})
	if f, ok := errors.AsType[*failure](err); err != nil && !ok {
		return "", err
	} else if ok && len(answer) == 0 {
		return "", f
	}
	number, refused := telegramAnswer(answer)
	if f, ok := errors.AsType[*failure](err); ok {
		if refused != nil && refused.text != "" {
			f.text = refused.text
		}
		if refused != nil {
			f.after = max(f.after, refused.after)
		}
		return "", f
	}
	if refused != nil {
		return "", refused
	}
	return fmt.Sprintf("sent as message %d", number), nil
}

// telegramAnswer reads what the Bot API says. An answer that is none of it is a failure: somebody
// else sits there.
func telegramAnswer(body []byte) (number int64, refused *failure) {
	var a struct {
		OK          bool   `json:"ok"`
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int64 `json:"retry_after"`
		} `json:"parameters"`
		Result struct {
			ID int64 `json:"message_id"`
		} `json:"result"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, &failure{text: "it answers, but not as Telegram's bot interface does"}
	}
	if !a.OK {
		wait := time.Duration(min(max(a.Parameters.RetryAfter, 0), int64(mostWait/time.Second))) * time.Second
		return 0, &failure{text: "Telegram says: " + clip(cmp.Or(a.Description, "no"), 160), after: wait}
	}
	return a.Result.ID, nil
}

// telegramMessage is a text for people. Of many messages each has a line; of one, all of it.
func telegramMessage(batch []Message) string {
	var b strings.Builder
	for i, m := range batch {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(symbol(m) + " " + m.line())
		if m.Fix != "" && !m.Status.Over() {
			b.WriteString("\n→ " + m.Fix)
		}
		if len(batch) == 1 {
			for _, key := range sortedKeys(m.Evidence) {
				b.WriteString("\n" + key + ": " + m.Evidence[key])
			}
		}
		b.WriteString("\n" + m.Since.UTC().Format("2006-01-02 15:04:05 UTC") + " · " + m.About)
		if m.Node != "" {
			b.WriteString(" · " + m.Node)
		}
	}
	return cutUTF16(b.String(), telegramText)
}

func symbol(m Message) string {
	switch {
	case m.Status.Over():
		return "✅"
	case m.Severity >= High:
		return "🔴"
	case m.Severity == Medium:
		return "🟠"
	}
	return "🔵"
}

// cutUTF16 bounds a text in the units that Telegram counts.
func cutUTF16(text string, most int) string {
	units := 0
	for i, r := range text {
		if units += utf16.RuneLen(r); units > most {
			return text[:i] + "…"
		}
	}
	return text
}
