import Glibc
import MeshCore
import Testing

@testable import MeshNet

@Suite struct SocketAddressTests {
    @Test(arguments: [
        "1.2.3.4:80", "255.255.255.255:65535", "0.0.0.0:0", "[::1]:80", "[2001:db8::a:1]:443", "[fe80::1%7]:1",
        "unix:/run/martlet.sock", "unix:@abstract",
    ])
    func readsWhatItWrites(text: String) { #expect(SocketAddress(text)?.description == text) }

    @Test(arguments: [
        "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:+80", "1.2.3.4:65536", "1.2.3:80", "01.2.3.4:80", "[1.2.3.4]:80",
        "::1:80", "[::1]", "[::1]80", "[fe80::1%]:80", "[fe80::1%no-such-interface]:80", "unix:", "localhost:80",
        "1.2.3.4\0:80", "unix:" + String(repeating: "x", count: 108),
    ])
    func refusesWhatIsNotAnAddress(text: String) { #expect(SocketAddress(text) == nil) }

    @Test func mappedAddressesAreIPv4() {
        #expect(SocketAddress(ip: "::ffff:10.20.30.40", port: 5) == SocketAddress(ip: "10.20.30.40", port: 5))
    }

    @Test(arguments: [
        "0.0.0.0", "9.10.99.100", "255.255.255.255", "::", "1:2:3:4:5:6:7:8",
        "2222:3333:4444:5555:6666:7777:8888:9999",
    ])
    func hostIsTheTextForm(ip: String) { #expect(SocketAddress(ip: ip, port: 1)?.host == ip) }

    @Test(arguments: ["1.2.3.4:80", "[fe80::1%7]:1", "unix:/run/x", "unix:@abstract"])
    func survivesTheSystemsForm(text: String) throws {
        let address = try #require(SocketAddress(text))
        var storage = sockaddr_storage()
        let length = unsafe address.withSockaddr { from, length in
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: from, count: Int(length)))
            }
            return length
        }
        #expect(SocketAddress(storage, length: length) == address)
    }
}
