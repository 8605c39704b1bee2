internal import Crypto
internal import GRPCNIOTransportHTTP2
internal import Hummingbird
internal import HummingbirdTLS
internal import X509
