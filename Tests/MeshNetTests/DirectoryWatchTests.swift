import Foundation
import Glibc
import MeshCore
import Testing

@testable import MeshNet

/// A directory that is gone after the test.
private final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "martlet-watch-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path + "/conf", withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var root: String { path + "/conf" }

    func write(_ name: String, _ text: String = "x") throws {
        let full = path + "/" + name
        let parent = (full as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try text.write(toFile: full, atomically: false, encoding: .utf8)
    }

    func link(_ name: String, to target: String) throws {
        // Made beside and renamed over, as Kubernetes and careful deployments do.
        let new = path + "/" + name + ".new"
        _ = unsafe symlink(target, new)
        try #require(unsafe rename(new, path + "/" + name) == 0)
    }
}

/// One change and then quiet: what a burst must look like.
private func changesOnce(_ watch: DirectoryWatch) -> Bool {
    watch.next(milliseconds: 2000) == .changed && watch.next(milliseconds: 100) == .timeUp
}

@Suite struct DirectoryWatchTests {
    static let changes: [(name: String, isSeen: Bool)] = [
        ("conf/a.yaml", true), ("conf/new.yml", true), ("conf/sub/b.yaml", true), ("conf/notes.txt", false),
        ("conf/.a.yaml.swp", false), ("other/a.yaml", false), ("conf/.git/config.yaml", false),
    ]

    @Test(arguments: changes.indices)
    func writing(_ index: Int) throws {
        let scratch = try Scratch()
        for name in ["conf/a.yaml", "conf/sub/b.yaml", "other/a.yaml", "conf/.git/config.yaml"] {
            try scratch.write(name)
        }
        let watch = try DirectoryWatch(scratch.root)
        #expect(watch.next(milliseconds: 0) == .timeUp)
        try scratch.write(Self.changes[index].name, "y")
        let wake = watch.next(milliseconds: Self.changes[index].isSeen ? 2000 : 100)
        #expect(wake == (Self.changes[index].isSeen ? .changed : .timeUp))
    }

    @Test func aBurstIsOneChange() throws {
        let scratch = try Scratch()
        let watch = try DirectoryWatch(scratch.root)
        for number in 0..<50 { try scratch.write("conf/\(number).yaml") }
        // As an editor saves: away, back, gone.
        #expect(unsafe rename(scratch.root + "/1.yaml", scratch.root + "/1.yaml~") == 0)
        try scratch.write("conf/1.yaml")
        #expect(unsafe unlink(scratch.root + "/1.yaml~") == 0)
        #expect(changesOnce(watch))
    }

    @Test func whatHappensWhileAChangeIsReadIsAChangeOfItsOwn() throws {
        let scratch = try Scratch()
        let watch = try DirectoryWatch(scratch.root)
        try scratch.write("conf/a.yaml")
        #expect(watch.next(milliseconds: 2000) == .changed)
        try scratch.write("conf/a.yaml", "y")
        watch.follow([])
        #expect(changesOnce(watch))
    }

    @Test func aNewDirectoryIsFollowedAndAnOldOneForgotten() throws {
        let scratch = try Scratch()
        let watch = try DirectoryWatch(scratch.root)
        try scratch.write("conf/sub/deep/a.yaml")
        #expect(changesOnce(watch))
        try scratch.write("conf/sub/deep/a.yaml", "y")
        #expect(changesOnce(watch))
        try FileManager.default.removeItem(atPath: scratch.root + "/sub")
        #expect(changesOnce(watch))
    }

    @Test func aFileThatIsPointedAtIsFollowed() throws {
        let scratch = try Scratch()
        try scratch.write("conf/a.yaml")
        try scratch.write("certs/tls.crt")
        let watch = try DirectoryWatch(scratch.root)
        watch.follow([scratch.path + "/certs/tls.crt"])
        // It may have changed since it was read.
        #expect(changesOnce(watch))
        watch.follow([scratch.path + "/certs/tls.crt"])
        #expect(watch.next(milliseconds: 100) == .timeUp)
        try scratch.write("certs/other")
        #expect(watch.next(milliseconds: 100) == .timeUp)
        try scratch.write("certs/tls.crt", "y")
        #expect(changesOnce(watch))
        watch.follow([])
        try scratch.write("certs/tls.crt", "z")
        #expect(watch.next(milliseconds: 100) == .timeUp)
    }

    @Test func aSwappedDataLinkIsAChange() throws {
        let scratch = try Scratch()
        try scratch.write("conf/..one/a.yaml")
        try scratch.write("conf/..two/a.yaml")
        try scratch.link("conf/..data", to: "..one")
        try scratch.link("conf/a.yaml", to: "..data/a.yaml")
        let watch = try DirectoryWatch(scratch.root)
        try scratch.link("conf/..data", to: "..two")
        #expect(changesOnce(watch))
        // The file behind the new link is followed, the old one is not.
        try scratch.write("conf/..two/a.yaml", "y")
        #expect(changesOnce(watch))
        try scratch.write("conf/..one/a.yaml", "y")
        #expect(watch.next(milliseconds: 100) == .timeUp)
    }

    @Test func aDirectoryThatIsALinkMayBeSwapped() throws {
        let scratch = try Scratch()
        try scratch.write("one/conf/a.yaml")
        try scratch.write("two/conf/a.yaml")
        try scratch.link("current", to: "one")
        let watch = try DirectoryWatch(scratch.path + "/current/conf")
        try scratch.link("current", to: "two")
        #expect(changesOnce(watch))
        try scratch.write("two/conf/a.yaml", "y")
        #expect(changesOnce(watch))
    }

    @Test func oneFileMayBeReplacedOrComeBack() throws {
        let scratch = try Scratch()
        try scratch.write("conf/a.yaml")
        let watch = try DirectoryWatch(scratch.root + "/a.yaml")
        try scratch.write("conf/b.yaml")
        #expect(watch.next(milliseconds: 100) == .timeUp)
        #expect(unsafe rename(scratch.root + "/b.yaml", scratch.root + "/a.yaml") == 0)
        #expect(changesOnce(watch))
        #expect(unsafe unlink(scratch.root + "/a.yaml") == 0)
        #expect(changesOnce(watch))
        try scratch.write("conf/a.yaml")
        #expect(changesOnce(watch))
    }

    @Test func aLinkThatLeadsToItselfEnds() throws {
        let scratch = try Scratch()
        _ = unsafe symlink("loop.yaml", scratch.root + "/loop.yaml")
        _ = unsafe symlink(".", scratch.root + "/again")
        let watch = try DirectoryWatch(scratch.root)
        #expect(watch.problem == nil)
        #expect(PathTrail.entries(scratch.root + "/loop.yaml").count > 40)
        try scratch.write("conf/a.yaml")
        #expect(changesOnce(watch))
    }

    @Test func withoutInotifyItSaysSoAndWaits() throws {
        let scratch = try Scratch()
        let watch = try DirectoryWatch(scratch.root, inotify: -1)
        try scratch.write("conf/a.yaml")
        watch.follow([scratch.path + "/x"])
        #expect(watch.problem?.contains("send SIGHUP") == true)
        #expect(watch.next(milliseconds: 100) == .timeUp)
    }

    @Test func entriesOfAPath() throws {
        let scratch = try Scratch()
        let base = try #require(unsafe realpath(scratch.path, nil).map { unsafe String(cString: $0) })
        try scratch.write("real/file")
        try scratch.link("link", to: "real")
        #expect(
            PathTrail.entries(base + "/link/../link/./file") == [
                PathTrail.Entry(directory: base, name: "link"), PathTrail.Entry(directory: base, name: "link"),
                PathTrail.Entry(directory: base + "/real", name: "file"),
            ])
        #expect(
            PathTrail.entries(base + "/absent/file") == [PathTrail.Entry(directory: base, name: "absent")])
    }
}
