package pages

//lint:file-ignore ST1018 Persian is written with the zero-width non-joiner, and escaped text cannot be proofread.

import "html/template"

// words is all that a page says in one language. A text with %s, or %[1]s and %[2]s, takes dates or times. Names of menus and buttons are
// those of Telegram's own clients.
type words struct {
	Lang, Dir, Name string // of the language itself

	Title, Open string
	Hint        template.HTML
	Scan, Code  string

	WorksNow, Blame, Down, DownHint, Worked string
	Checked, Again                          string

	Changed, Changes, ChangesAtOnce string

	Expires, Left, LeftToday, LeftThisMonth, NothingLeft string

	NoLink, NoLinkHint string
	More, MoreHint     string

	Trouble                string
	Where, Choose, CopyIn  template.HTML
	Server, Port, Secret   string
	Other, Same, SameWhere string
	Language               string

	numbers numbers
}

// languages are those a page can speak. The first is for everybody whose own is not here.
var languages = []*words{&english, &russian, &persian}

// chooseLanguage takes the language asked for by ?lang=, else the best of the Accept-Language fields.
func chooseLanguage(asked string, accept []string) *words {
	for _, l := range languages {
		if l.Lang == asked {
			return l
		}
	}
	best, most := languages[0], 0
	acceptItems(accept, func(value string, weight int) {
		for _, l := range languages {
			// The first of equals wins, as browsers list them.
			if weight > most && (value == l.Lang || len(value) > 2 && value[:3] == l.Lang+"-") {
				best, most = l, weight
			}
		}
	})
	return best
}

var english = words{
	Lang: "en", Dir: "ltr", Name: "English",
	Title:         "Connect Telegram",
	Open:          "Open in Telegram",
	Hint:          "Telegram opens and shows the proxy. Tap <b>Connect Proxy</b> there, and you are done.",
	Scan:          "Or scan from another phone",
	Code:          "QR code with your link",
	WorksNow:      "Works now",
	Blame:         "It works here and not for you? Then something on your way blocks it: try another network.",
	Down:          "Does not answer at the moment",
	DownHint:      "Your link is all right. Try again in a while.",
	Worked:        "Worked when it was last checked",
	Checked:       "checked %s",
	Again:         "Check again",
	Changed:       "Your link changed on %[1]s. If you have not tapped the button since, tap it before %[2]s; nothing to type.",
	Changes:       "Your link changes on %[1]s. Come back then and tap again, any time before %[2]s; nothing to type.",
	ChangesAtOnce: "Your link changes on %[1]s, and the old one stops at once. Come back then and tap again; nothing to type.",
	Expires:       "Valid until",
	Left:          "Traffic left",
	LeftToday:     "Traffic left today",
	LeftThisMonth: "Traffic left this month",
	NothingLeft:   "none",
	NoLink:        "There is no link for you right now.",
	NoLinkHint:    "Keep this address and come back later.",
	More:          "More servers",
	MoreHint:      "Add these too, as a reserve.",
	Trouble:       "Does it not open?",
	Where:         "In Telegram open <b>Settings</b> › <b>Data and Storage</b> › <b>Proxy</b>. On a computer: <b>Settings</b> › <b>Advanced</b> › <b>Connection type</b>.",
	Choose:        "Tap <b>Add Proxy</b> and choose <b>MTProto</b>.",
	CopyIn:        "Copy these three in and save.",
	Server:        "Server",
	Port:          "Port",
	Secret:        "Secret",
	Other:         "Another way:",
	Same:          "the same link at t.me",
	SameWhere:     "where t.me is not blocked",
	Language:      "Language",
	numbers:       englishNumbers,
}

var russian = words{
	Lang: "ru", Dir: "ltr", Name: "Русский",
	Title:         "Подключить Telegram",
	Open:          "Открыть в Telegram",
	Hint:          "Откроется Telegram и покажет прокси. Нажмите там <b>Подключить прокси</b> – и всё готово.",
	Scan:          "Или отсканируйте с другого телефона",
	Code:          "QR-код с вашей ссылкой",
	WorksNow:      "Сейчас работает",
	Blame:         "Здесь работает, а у вас нет? Значит, мешает что-то по пути: попробуйте другую сеть.",
	Down:          "Сейчас не отвечает",
	DownHint:      "С вашей ссылкой всё в порядке. Попробуйте чуть позже.",
	Worked:        "При последней проверке работало",
	Checked:       "проверено %s",
	Again:         "Проверить ещё раз",
	Changed:       "Ваша ссылка сменилась %[1]s. Если с тех пор вы не нажимали на кнопку, нажмите до %[2]s; вводить ничего не нужно.",
	Changes:       "Ваша ссылка сменится %[1]s. После этого вернитесь сюда и нажмите на кнопку ещё раз, в любое время до %[2]s; вводить ничего не нужно.",
	ChangesAtOnce: "Ваша ссылка сменится %[1]s, и старая сразу перестанет работать. После этого вернитесь сюда и нажмите на кнопку ещё раз; вводить ничего не нужно.",
	Expires:       "Действует до",
	Left:          "Осталось трафика",
	LeftToday:     "Осталось трафика на сегодня",
	LeftThisMonth: "Осталось трафика в этом месяце",
	NothingLeft:   "нисколько",
	NoLink:        "Сейчас для вас нет ссылки.",
	NoLinkHint:    "Сохраните этот адрес и загляните сюда позже.",
	More:          "Ещё серверы",
	MoreHint:      "Добавьте и их про запас.",
	Trouble:       "Не открывается?",
	Where:         "В Telegram откройте <b>Настройки</b> › <b>Данные и память</b> › <b>Прокси</b>. На компьютере: <b>Настройки</b> › <b>Продвинутые настройки</b> › <b>Тип соединения</b>.",
	Choose:        "Нажмите <b>Добавить прокси</b> и выберите <b>MTProto</b>.",
	CopyIn:        "Скопируйте туда эти три строки и сохраните.",
	Server:        "Сервер",
	Port:          "Порт",
	Secret:        "Ключ",
	Other:         "Другой способ:",
	Same:          "та же ссылка на t.me",
	SameWhere:     "там, где t.me не заблокирован",
	Language:      "Язык",
	numbers:       russianNumbers,
}

// persian names the menus in English too: many use the client in that language.
var persian = words{
	Lang: "fa", Dir: "rtl", Name: "فارسی",
	Title:         "اتصال تلگرام",
	Open:          "باز کردن در تلگرام",
	Hint:          "تلگرام باز می‌شود و پروکسی را نشان می‌دهد. آنجا <b>اتصال پروکسی</b> (Connect Proxy) را بزنید؛ همین.",
	Scan:          "یا با گوشی دیگری اسکن کنید",
	Code:          "کد QR لینک شما",
	WorksNow:      "اکنون کار می‌کند",
	Blame:         "اینجا کار می‌کند و برای شما نه؟ پس چیزی در مسیر شما جلوی آن را گرفته است: شبکهٔ دیگری را امتحان کنید.",
	Down:          "اکنون پاسخ نمی‌دهد",
	DownHint:      "لینک شما درست است. کمی بعد دوباره امتحان کنید.",
	Worked:        "در آخرین بررسی کار می‌کرد",
	Checked:       "بررسی: %s",
	Again:         "بررسی دوباره",
	Changed:       "لینک شما در %[1]s عوض شد. اگر از آن زمان دکمه را نزده‌اید، پیش از %[2]s بزنید؛ لازم نیست چیزی تایپ کنید.",
	Changes:       "لینک شما در %[1]s عوض می‌شود. پس از آن به اینجا برگردید و پیش از %[2]s دوباره دکمه را بزنید؛ لازم نیست چیزی تایپ کنید.",
	ChangesAtOnce: "لینک شما در %[1]s عوض می‌شود و لینک قبلی همان لحظه از کار می‌افتد. پس از آن به اینجا برگردید و دوباره دکمه را بزنید؛ لازم نیست چیزی تایپ کنید.",
	Expires:       "معتبر تا",
	Left:          "حجم باقی‌مانده",
	LeftToday:     "حجم باقی‌ماندهٔ امروز",
	LeftThisMonth: "حجم باقی‌ماندهٔ این ماه",
	NothingLeft:   "هیچ",
	NoLink:        "اکنون لینکی برای شما نیست.",
	NoLinkHint:    "این نشانی را نگه دارید و بعداً دوباره سر بزنید.",
	More:          "سرورهای دیگر",
	MoreHint:      "این‌ها را هم برای ذخیره اضافه کنید.",
	Trouble:       "باز نمی‌شود؟",
	Where:         "در تلگرام به <b>تنظیمات</b> (Settings) › <b>داده و ذخیره‌سازی</b> (Data and Storage) › <b>پروکسی</b> (Proxy) بروید. در رایانه: <bdi><b>Settings</b></bdi> › <bdi><b>Advanced</b></bdi> › <bdi><b>Connection type</b></bdi>.",
	Choose:        "<b>افزودن پروکسی</b> (Add Proxy) را بزنید و <b>MTProto</b> را انتخاب کنید.",
	CopyIn:        "این سه مورد را در آنجا وارد و ذخیره کنید.",
	Server:        "سرور",
	Port:          "پورت",
	Secret:        "رمز (Secret)",
	Other:         "راه دیگر:",
	Same:          "همین لینک در t.me",
	SameWhere:     "جایی که t.me مسدود نیست",
	Language:      "زبان",
	numbers:       persianNumbers,
}
