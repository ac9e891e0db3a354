package control

import (
	"context"

	"mtguard/control/store"
	"mtguard/security/vault"
)

// openVault opens the store's keysets under the master key, or makes them.
func openVault(ctx context.Context, s *store.Store, m Master) (v *vault.Vault, err error) {
	kek, _ := m.Current()
	_, err = s.Update(ctx, func(tx *store.Tx) error {
		kept, id, err := tx.Keysets()
		if err != nil {
			return err
		}
		if id == "" {
			if v, err = vault.Create(kek); err != nil {
				return err
			}
			sealed, err := v.Sealed(kek)
			if err != nil {
				return err
			}
			return tx.PutKeysets(stored(sealed), kek.ID())
		}
		sealed := make(map[vault.Purpose][]byte)
		for purpose, b := range kept {
			sealed[vault.Purpose(purpose)] = b
		}
		v, err = vault.Open(kek, sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, s.SetSealer(ctx, v.Sealer(vault.Columns))
}
