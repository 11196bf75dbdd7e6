package asap

// layout is what a message of some type holds behind its header. The order of parameters is not enforced, their number is.
type layout struct {
	server bool         // begins with a registrar's identifier, a plain field
	must   parameterSet // exactly once
	may    parameterSet // at most once
	many   parameterSet // any number
	build  func(p *parts) Message
}

var (
	handleAndPE = setOf(ParameterPoolHandle, ParameterPEIdentifier)
	layouts     = [...]layout{
		TypeRegistration:           {must: setOf(ParameterPoolHandle, ParameterPoolElement), build: buildRegistration},
		TypeDeregistration:         {must: handleAndPE, build: buildDeregistration},
		TypeRegistrationResponse:   {must: handleAndPE, may: setOf(ParameterOperationError), build: buildRegistrationResponse},
		TypeDeregistrationResponse: {must: handleAndPE, may: setOf(ParameterOperationError), build: buildDeregistrationResponse},
		TypeHandleResolution: {
			must:  setOf(ParameterPoolHandle),
			may:   setOf(ParameterResolutionOption),
			build: buildHandleResolution,
		},
		TypeHandleResolutionResponse: {
			must:  setOf(ParameterPoolHandle),
			may:   setOf(ParameterPolicy, ParameterOperationError),
			many:  setOf(ParameterPoolElement),
			build: buildHandleResolutionResponse,
		},
		TypeEndpointKeepAlive: {
			server: true,
			must:   setOf(ParameterPoolHandle),
			may:    setOf(ParameterPEIdentifier), // rsplib
			build:  buildEndpointKeepAlive,
		},
		TypeEndpointKeepAliveAck: {must: handleAndPE, build: buildEndpointKeepAliveAck},
		TypeEndpointUnreachable:  {must: handleAndPE, build: buildEndpointUnreachable},
		TypeServerAnnounce: {
			server: true,
			many:   setOf(ParameterSCTPTransport, ParameterTCPTransport),
			build:  buildServerAnnounce,
		},
		TypeCookie:     {must: setOf(ParameterCookie), build: buildCookie},
		TypeCookieEcho: {must: setOf(ParameterCookie), build: buildCookieEcho},
		TypeBusinessCard: {
			must:  setOf(ParameterPoolHandle),
			may:   setOf(ParameterPolicy), // rsplib
			many:  setOf(ParameterPoolElement),
			build: buildBusinessCard,
		},
		TypeError: {must: setOf(ParameterOperationError), build: buildError},
	}
)

// parts are what was found in a message.
type parts struct {
	flag       bool
	server     uint32
	seen       parameterSet
	handle     PoolHandle
	pe         PEIdentifier
	policy     *Policy
	elements   []PoolElement
	transports []Transport
	errors     OperationError
	cookie     Cookie
	items      uint32
}
