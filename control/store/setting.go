package store

import (
	"errors"
	"fmt"
)

// Setting returns the value of a setting, ErrNotFound when it was never put.
func (tx *Tx) Setting(name string) ([]byte, error) {
	var value []byte
	if err := tx.row(`SELECT value FROM settings WHERE name = ? AND sealed = 0`, []any{name}, &value); err != nil {
		return nil, fmt.Errorf("setting %s: %w", name, err)
	}
	return value, nil
}

// PutSetting sets a setting. It is no place for secrets.
func (tx *Tx) PutSetting(name string, value []byte) error { return tx.putSetting(name, value, false) }

// DropSetting takes a setting out. One that is not there is no error.
func (tx *Tx) DropSetting(name string) error {
	n, err := tx.exec(`DELETE FROM settings WHERE name = ? AND sealed = 0`, name)
	if n > 0 {
		tx.next()
	}
	return err
}

// SecretSetting returns the value that PutSecretSetting put under the name. The names
// of secret settings are apart from those of the others.
func (tx *Tx) SecretSetting(name string) ([]byte, error) {
	var sealed []byte
	err := tx.row(`SELECT value FROM settings WHERE name = ? AND sealed = 1`, []any{name}, &sealed)
	if err != nil {
		return nil, fmt.Errorf("secret setting %s: %w", name, err)
	}
	return tx.unseal(settingPlace(name), sealed)
}

// PutSecretSetting sets a secret setting.
func (tx *Tx) PutSecretSetting(name string, value []byte) error {
	sealed, err := tx.seal(settingPlace(name), value)
	if err != nil {
		return err
	}
	return tx.putSetting(name, sealed, true)
}

func settingPlace(name string) place { return place{"settings", name, "value"} }

func (tx *Tx) putSetting(name string, value []byte, sealed bool) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if name == "" {
		return errors.New("setting has no name")
	}
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	_, err := tx.exec(`INSERT INTO settings (name, sealed, value, rev) VALUES (?, ?, ?, ?)
		ON CONFLICT (name, sealed) DO UPDATE SET value = excluded.value, rev = excluded.rev`, name, sealed, value, tx.next())
	return err
}

// Keysets returns the keysets of the vault by their purpose, each encrypted under the
// key-encryption key with the ID kek. A new store has none: an empty map and "".
func (tx *Tx) Keysets() (sealed map[string][]byte, kek string, err error) {
	sealed = make(map[string][]byte)
	err = tx.rows(`SELECT purpose, sealed, kek FROM keysets ORDER BY purpose`, func(r scanner) error {
		var purpose, under string
		var keyset []byte
		if err := r.Scan(&purpose, &keyset, &under); err != nil {
			return err
		}
		if len(sealed) > 0 && under != kek {
			return fmt.Errorf("%w: keysets are under two key-encryption keys", ErrCorrupt)
		}
		sealed[purpose], kek = keyset, under
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return sealed, kek, nil
}

// PutKeysets replaces all keysets.
func (tx *Tx) PutKeysets(sealed map[string][]byte, kek string) error {
	if len(sealed) == 0 || kek == "" {
		return errors.New("no keysets, or no ID of what they are encrypted under")
	}
	if _, err := tx.exec(`DELETE FROM keysets`); err != nil {
		return err
	}
	for purpose, keyset := range sealed {
		if _, err := tx.exec(`INSERT INTO keysets (purpose, sealed, kek) VALUES (?, ?, ?)`, purpose, keyset, kek); err != nil {
			return err
		}
	}
	tx.next()
	return nil
}
