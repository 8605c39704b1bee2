import Foundation
import MeshCore
import MeshNet
import Testing

@Suite struct FileContentsTests {
    private func failure(_ path: String, limit: Int = 100) -> String {
        do throws(ProxyError) {
            _ = try FileContents.read(path, limit: limit)
            return ""
        } catch {
            return error.description
        }
    }

    @Test(arguments: [0, 1, 4095, 4096, 4097, 70_000, 300_000])
    func wholeFiles(_ size: Int) throws {
        let path = NSTemporaryDirectory() + "martlet-contents-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        #expect(try FileContents.read(path, limit: size) == bytes)
        if size > 0 { #expect(failure(path, limit: size - 1) == "\(path): larger than \(size - 1) bytes") }
    }

    @Test func whatHasNoSizeIsReadToItsEnd() throws {
        // The size of files in /proc reads as 0.
        #expect(try FileContents.read("/proc/self/status", limit: 1 << 20).count > 100)
    }

    @Test func errorsNameTheFile() {
        #expect(failure("/absent/file") == "/absent/file: No such file or directory")
        #expect(failure("/") == "/: that is a directory")
    }
}
