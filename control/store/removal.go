package store

// DropSetting takes a setting out. One that is not there is no error.
func (tx *Tx) DropSetting(name string) error {
	n, err := tx.exec(`DELETE FROM settings WHERE name = ? AND sealed = 0`, name)
	if err == nil && n > 0 {
		tx.next()
	}
	return err
}
