using System.Runtime.InteropServices;

namespace Distributed.Collectives.Hosting;

/// <summary>Type, permissions and owner of a file, which .NET does not tell in one look: links are not followed.</summary>
internal static partial class UnixFileStatus
{
    private const int TypeMask = 0xF000;
    private const int DirectoryType = 0x4000;
    private const int LinkType = 0xA000;

    /// <summary>Reads the status of <paramref name="path"/>; <see langword="null"/> if there is no such file.</summary>
    public static (bool IsDirectory, bool IsLink, UnixFileMode Mode, uint OwnerId)? TryRead(string path)
    {
        if ((OperatingSystem.IsMacOS() ? ReadMacOS(path) : ReadLinux(path)) is not var (mode, owner))
        {
            return null;
        }

        var type = mode & TypeMask;
        return (type == DirectoryType, type == LinkType, (UnixFileMode)(mode & 0xFFF), owner);
    }

    /// <summary>The user on whose behalf this process runs.</summary>
    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint GetEffectiveUserId();

    private static unsafe (int Mode, uint Owner)? ReadLinux(string path)
    {
        // linux/stat.h, struct statx: the same on every architecture, with stx_uid at 20 and stx_mode at 28.
        const int CurrentDirectory = -100;
        const int NoFollow = 0x100;
        const uint TypeModeAndOwner = 0x1 | 0x2 | 0x8;
        var status = stackalloc byte[256];
        return StatX(CurrentDirectory, path, NoFollow, TypeModeAndOwner, status) == 0
            ? (*(ushort*)(status + 28), *(uint*)(status + 20))
            : null;
    }

    private static unsafe (int Mode, uint Owner)? ReadMacOS(string path)
    {
        // sys/stat.h with 64-bit inodes (144 bytes): st_mode at 4, st_uid at 16.
        var status = stackalloc byte[256];
        return LStat(path, status) == 0 ? (*(ushort*)(status + 4), *(uint*)(status + 16)) : null;
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int directory, string path, int flags, uint mask, byte* status);

    [LibraryImport("libc", EntryPoint = "lstat", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int LStat(string path, byte* status);
}
