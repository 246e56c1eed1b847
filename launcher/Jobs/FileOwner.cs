using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Distributed.Launcher.Jobs;

/// <summary>Who owns a file and who may use it: the part of stat(2) that .NET does not offer.</summary>
[UnsupportedOSPlatform("windows")]
internal readonly partial record struct FileOwner(uint UserId, uint Mode)
{
    private const uint TypeMask = 0xF000; // S_IFMT
    private const uint DirectoryType = 0x4000; // S_IFDIR
    private const uint StickyBit = 0x200; // S_ISVTX
    private const uint WritableByOthers = 0x12; // S_IWGRP | S_IWOTH

    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const uint TypeModeAndOwner = 0xB; // STATX_TYPE | STATX_MODE | STATX_UID

    public bool IsDirectory => (Mode & TypeMask) == DirectoryType;

    public bool IsSticky => (Mode & StickyBit) != 0;

    public bool IsWritableByOthers => (Mode & WritableByOthers) != 0;

    public UnixFileMode Permissions => (UnixFileMode)(Mode & 0x1FF);

    /// <exception cref="IOException">There is no such file, or it cannot be looked at.</exception>
    public static unsafe FileOwner Of(string path, bool followLinks)
    {
        var buffer = stackalloc byte[256]; // struct statx has 256 bytes on every architecture; struct stat of macOS has 144
        if (OperatingSystem.IsMacOS())
        {
            var result = RuntimeInformation.ProcessArchitecture == Architecture.X64
                ? followLinks ? StatMacX64(path, buffer) : LinkStatMacX64(path, buffer)
                : followLinks ? StatMac(path, buffer) : LinkStatMac(path, buffer);
            Processes.Libc.ThrowIfFailed(result, $"stat {path}");
            return new FileOwner(UserId: *(uint*)(buffer + 16), Mode: *(ushort*)(buffer + 4));
        }

        Processes.Libc.ThrowIfFailed(StatX(CurrentDirectory, path, followLinks ? 0 : NoFollow, TypeModeAndOwner, buffer), $"stat {path}");
        return new FileOwner(UserId: *(uint*)(buffer + 20), Mode: *(ushort*)(buffer + 28));
    }

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "stat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatMac(string path, byte* buffer);

    [LibraryImport("libc", EntryPoint = "lstat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int LinkStatMac(string path, byte* buffer);

    [LibraryImport("libc", EntryPoint = "stat$INODE64", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatMacX64(string path, byte* buffer);

    [LibraryImport("libc", EntryPoint = "lstat$INODE64", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int LinkStatMacX64(string path, byte* buffer);
}
