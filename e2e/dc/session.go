package dc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/proto/codec"
	"github.com/gotd/td/tgerr"
)

// conn is one connection. Answers leave by the connection that asked, so a session may move between connections.
type conn struct {
	server  *Server
	packets *packets
	dc      int
	// contents counts the messages sent that want an acknowledgement, for the sequence number.
	contents int32
}

func (c *conn) run() error {
	for {
		var b bin.Buffer
		if err := c.packets.Recv(context.Background(), &b); err != nil {
			return err
		}
		if err := c.packet(&b); err != nil {
			return err
		}
	}
}

func (c *conn) packet(b *bin.Buffer) error {
	if b.Len() < 8 {
		return fmt.Errorf("packet of %d bytes", b.Len())
	}
	id := [8]byte(b.Buf)
	if id == [8]byte{} {
		return c.exchange(b)
	}
	c.server.mu.Lock()
	key, ok := c.server.keys[id]
	c.server.mu.Unlock()
	if !ok {
		return c.transportError(codec.CodeAuthKeyNotFound)
	}
	msg, err := c.server.cipher.DecryptFromBuffer(key.AuthKey, b)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	from := peer{conn: c, key: key, session: msg.SessionID}
	if err := from.greet(); err != nil {
		return err
	}
	return from.message(msg.MessageID, &bin.Buffer{Buf: msg.Data()})
}

// transportError sends the bare negative code that stands for a packet in every framing.
func (c *conn) transportError(code int32) error {
	var b bin.Buffer
	b.PutInt32(-code)
	return c.packets.Send(context.Background(), &b)
}

// exchange makes an authorisation key with the peer, whose first packet has been read already.
func (c *conn) exchange(first *bin.Buffer) error {
	in := &unread{packets: c.packets, first: first}
	r, err := exchange.NewExchanger(in, c.dc).Server(c.server.key).Run(context.Background())
	if refused := (*exchange.ServerExchangeError)(nil); errors.As(err, &refused) {
		return errors.Join(fmt.Errorf("key exchange: %w", err), c.transportError(refused.Code))
	}
	if err != nil {
		return fmt.Errorf("key exchange: %w", err)
	}
	c.server.mu.Lock()
	c.server.keys[r.Key.ID] = authKey{AuthKey: r.Key, salt: r.ServerSalt}
	c.server.mu.Unlock()
	return nil
}

// unread gives back a packet that was read too early.
type unread struct {
	*packets
	first *bin.Buffer
}

func (u *unread) Recv(ctx context.Context, b *bin.Buffer) error {
	if u.first == nil {
		return u.packets.Recv(ctx, b)
	}
	b.ResetTo(u.first.Copy())
	u.first = nil
	return nil
}

// peer is a session on the connection where it spoke last.
type peer struct {
	conn    *conn
	key     authKey
	session int64
}

// greet tells the client once per session that the server knows it from now on.
func (p peer) greet() error {
	s := p.conn.server
	id := sessionID{p.key.ID, p.session}
	s.mu.Lock()
	_, met := s.met[id]
	s.met[id] = struct{}{}
	s.mu.Unlock()
	if met {
		return nil
	}
	return p.send(proto.MessageFromServer, true, &mt.NewSessionCreated{
		FirstMsgID: s.msgID.New(proto.MessageFromClient),
		UniqueID:   p.session,
		ServerSalt: p.key.salt,
	})
}

func (p peer) send(t proto.MessageType, content bool, m bin.Encoder) error {
	var b bin.Buffer
	if err := m.Encode(&b); err != nil {
		return err
	}
	seq := p.conn.contents * 2
	if content {
		seq++
		p.conn.contents++
	}
	var out bin.Buffer
	if err := p.conn.server.cipher.Encrypt(p.key.AuthKey, crypto.EncryptedMessageData{
		Salt:                   p.key.salt,
		SessionID:              p.session,
		MessageID:              p.conn.server.msgID.New(t),
		SeqNo:                  seq,
		MessageDataLen:         int32(b.Len()),
		MessageDataWithPadding: b.Buf,
	}, &out); err != nil {
		return err
	}
	return p.conn.packets.Send(context.Background(), &out)
}

// message handles the service messages and leaves the rest to the methods.
func (p peer) message(id int64, b *bin.Buffer) error {
	kind, err := b.PeekID()
	if err != nil {
		return err
	}
	switch kind {
	case proto.MessageContainerTypeID:
		var m proto.MessageContainer
		if err := m.Decode(b); err != nil {
			return err
		}
		for _, inner := range m.Messages {
			if err := p.message(inner.ID, &bin.Buffer{Buf: inner.Body}); err != nil {
				return err
			}
		}
		return nil
	case proto.GZIPTypeID:
		var m proto.GZIP
		if err := m.Decode(b); err != nil {
			return err
		}
		return p.message(id, &bin.Buffer{Buf: m.Data})
	case mt.MsgsAckTypeID:
		return new(mt.MsgsAck).Decode(b)
	case mt.PingRequestTypeID:
		var m mt.PingRequest
		if err := m.Decode(b); err != nil {
			return err
		}
		return p.send(proto.MessageServerResponse, false, &mt.Pong{MsgID: id, PingID: m.PingID})
	case mt.PingDelayDisconnectRequestTypeID:
		var m mt.PingDelayDisconnectRequest
		if err := m.Decode(b); err != nil {
			return err
		}
		return p.send(proto.MessageServerResponse, false, &mt.Pong{MsgID: id, PingID: m.PingID})
	case mt.GetFutureSaltsRequestTypeID:
		return p.send(proto.MessageServerResponse, false, &mt.FutureSalts{
			ReqMsgID: id,
			Now:      int(time.Now().Unix()),
			Salts:    []mt.FutureSalt{{ValidSince: 1, ValidUntil: math.MaxInt32, Salt: p.key.salt}},
		})
	case mt.RPCDropAnswerRequestTypeID:
		return p.answer(id, &mt.RPCAnswerUnknown{})
	}
	result, err := p.conn.server.call(p.conn.dc, b)
	if rpc := (*tgerr.Error)(nil); errors.As(err, &rpc) {
		result = &mt.RPCError{ErrorCode: rpc.Code, ErrorMessage: rpc.Message}
	} else if err != nil {
		return fmt.Errorf("method %08x: %w", kind, err)
	}
	return p.answer(id, result)
}

func (p peer) answer(id int64, result bin.Encoder) error {
	var b bin.Buffer
	b.PutID(proto.ResultTypeID)
	b.PutLong(id)
	if err := result.Encode(&b); err != nil {
		return err
	}
	return p.send(proto.MessageServerResponse, true, raw(b.Buf))
}

// raw is TL text that is encoded already.
type raw []byte

// Encode implements bin.Encoder.
func (r raw) Encode(b *bin.Buffer) error {
	b.Put(r)
	return nil
}
