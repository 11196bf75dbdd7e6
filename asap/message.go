package asap

import "fmt"

// MessageType is the type of a message (RFC 5352 §2.2).
type MessageType uint8

const (
	TypeRegistration             MessageType = 0x01
	TypeDeregistration           MessageType = 0x02
	TypeRegistrationResponse     MessageType = 0x03
	TypeDeregistrationResponse   MessageType = 0x04
	TypeHandleResolution         MessageType = 0x05
	TypeHandleResolutionResponse MessageType = 0x06
	TypeEndpointKeepAlive        MessageType = 0x07
	TypeEndpointKeepAliveAck     MessageType = 0x08
	TypeEndpointUnreachable      MessageType = 0x09
	TypeServerAnnounce           MessageType = 0x0a
	TypeCookie                   MessageType = 0x0b
	TypeCookieEcho               MessageType = 0x0c
	TypeBusinessCard             MessageType = 0x0d
	TypeError                    MessageType = 0x0e
)

var messageNames = [...]string{
	TypeRegistration:             "REGISTRATION",
	TypeDeregistration:           "DEREGISTRATION",
	TypeRegistrationResponse:     "REGISTRATION_RESPONSE",
	TypeDeregistrationResponse:   "DEREGISTRATION_RESPONSE",
	TypeHandleResolution:         "HANDLE_RESOLUTION",
	TypeHandleResolutionResponse: "HANDLE_RESOLUTION_RESPONSE",
	TypeEndpointKeepAlive:        "ENDPOINT_KEEP_ALIVE",
	TypeEndpointKeepAliveAck:     "ENDPOINT_KEEP_ALIVE_ACK",
	TypeEndpointUnreachable:      "ENDPOINT_UNREACHABLE",
	TypeServerAnnounce:           "SERVER_ANNOUNCE",
	TypeCookie:                   "COOKIE",
	TypeCookieEcho:               "COOKIE_ECHO",
	TypeBusinessCard:             "BUSINESS_CARD",
	TypeError:                    "ERROR",
}

func (t MessageType) String() string {
	if t.known() {
		return messageNames[t]
	}
	return fmt.Sprintf("message 0x%02x", uint8(t))
}

func (t MessageType) known() bool { return t >= TypeRegistration && t <= TypeError }

// reported says whether an unknown message of this type is to be reported. Of the four actions that the two high bits may ask
// for, two are reserved; like 00 they discard the message in silence (RFC 5354 §4).
func (t MessageType) reported() bool { return t>>6 == 1 }

// flag is the one flag that messages have, whatever it means in each. All other bits are zero when written and ignored when
// read.
const flag = 0x01

// Message is an ASAP message: one of the structs of this package whose comment names a section of RFC 5352 §2.2.
type Message interface {
	Type() MessageType
	// flagged says whether its flag is set.
	flagged() bool
	// check finds what no message of its type may have. Parameters are checked by themselves. Errors wrap the package's.
	check() error
	// appendBody writes all behind the header.
	appendBody(w *writer)
}

// unflagged is embedded in messages that have no flag.
type unflagged struct{}

func (unflagged) flagged() bool { return false }

// unruled is embedded in messages that the layout has checked in full.
type unruled struct{}

func (unruled) check() error { return nil }
