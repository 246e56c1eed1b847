using System.Globalization;
using System.Runtime.InteropServices;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>The device of one rank and the type of its weights; what is missing is said in one sentence.</summary>
internal sealed class TorchDevice
{
    private static readonly Lock Loading = new();

    private TorchDevice(Device device, ScalarType weightType, TorchPrecision precision, string description)
    {
        (Device, WeightType, Precision, Description) = (device, weightType, precision, description);
    }

    /// <summary>Where tensors live.</summary>
    public Device Device { get; }

    /// <summary>Elements of matrices.</summary>
    public ScalarType WeightType { get; }

    /// <summary>How they are multiplied.</summary>
    public TorchPrecision Precision { get; }

    /// <summary>Elements of the cache.</summary>
    public ScalarType CacheType => Precision == TorchPrecision.High ? ScalarType.Float32 : WeightType;

    /// <summary>A few words for the user: <c>torch cuda:1 bfloat16</c>.</summary>
    public string Description { get; }

    /// <summary>The same number for ranks on one GPU, another for others; 0 for the processor.</summary>
    public ulong Identity => IsHost ? 0 : CudaDriver.Identify(Device.index);

    /// <summary>Whether tensors live in host memory, so that nothing has to be copied.</summary>
    public bool IsHost => Device.type == DeviceType.CPU;

    /// <summary>Loads libtorch and finds this rank's device.</summary>
    /// <param name="options">What is asked for.</param>
    /// <param name="stored">How the checkpoint stores its matrices.</param>
    /// <param name="threadCount">Threads of libtorch in this process.</param>
    /// <exception cref="BackendException">libtorch, the driver or a GPU is missing, or the device cannot multiply the type.</exception>
    public static TorchDevice Open(TorchOptions options, TensorType stored, int threadCount)
    {
        lock (Loading)
        {
            Load(threadCount);
        }

        var device = options.Device == TorchDeviceKind.Cpu ? new Device(DeviceType.CPU) : FindGpu(options.LocalRank);
        var asked = options.DataType switch
        {
            TorchDataType.Float32 => ScalarType.Float32,
            TorchDataType.BFloat16 => ScalarType.BFloat16,
            TorchDataType.Float16 => ScalarType.Float16,
            _ => TypeOf(stored),
        };
        var type = CanMultiply(asked, device) ? asked
            : options.DataType == TorchDataType.Stored ? ScalarType.Float32
            : throw new BackendException(
                $"{Name(device)} of this libtorch cannot multiply {Name(asked)} matrices; use --dtype bf16 or fp32.");
        var shared = device.type == DeviceType.CUDA && options.LocalWorldSize > cuda.device_count() ? $" ({cuda.device_count()} for {options.LocalWorldSize} ranks)" : "";
        return new TorchDevice(device, type, options.Precision, $"torch {Name(device)}{shared} {Name(type)}");
    }

    /// <summary>What this rank's GPU has free for it, before anything is loaded: its share where ranks have one GPU together.</summary>
    /// <param name="options">A GPU, and the rank's number.</param>
    /// <param name="threadCount">Threads of libtorch in this process.</param>
    /// <exception cref="BackendException">libtorch, the driver or a GPU is missing, or the driver does not say.</exception>
    public static long FreeByteCount(TorchOptions options, int threadCount)
    {
        var device = Open(options, TensorType.Float32, threadCount);
        return CudaDriver.MemoryOfCurrent() is { } memory
            ? memory.Free / options.SharersOf(Math.Max(1, cuda.device_count()))
            : throw new BackendException($"The driver does not say what memory {Name(device.Device)} has free; give --split in place of --device-map.");
    }

    /// <summary>torch's type of a stored element.</summary>
    public static ScalarType TypeOf(TensorType type) => type switch
    {
        TensorType.BFloat16 => ScalarType.BFloat16,
        TensorType.Float16 => ScalarType.Float16,
        _ => ScalarType.Float32,
    };

    private static void Load(int threadCount)
    {
        // OpenBLAS, which some builds of libtorch use, reads it once, when it is loaded; set_num_threads does not reach it.
        SetNativeVariable("OPENBLAS_NUM_THREADS", threadCount.ToString(CultureInfo.InvariantCulture));
        try
        {
            InitializeQuietly(DeviceType.CPU);
            set_num_threads(threadCount);
        }
        catch (Exception exception) when (IsMissingLibrary(exception))
        {
            throw new BackendException(
                "libtorch could not be loaded; build with -p:Torch=... on the system that runs it, and let the folder of the program keep " +
                $"all that the build put there ({FirstLine(exception)}).");
        }
    }

    // Where it does not find a library TorchSharp writes to standard output, which is for results.
    private static bool InitializeQuietly(DeviceType type)
    {
        var output = Console.Out;
        try
        {
            Console.SetOut(TextWriter.Null);
            return TryInitializeDeviceType(type);
        }
        finally
        {
            Console.SetOut(output);
        }
    }

    private static bool IsMissingLibrary(Exception exception)
        => exception is NotSupportedException or DllNotFoundException or TypeInitializationException or BadImageFormatException or EntryPointNotFoundException
            or FileNotFoundException;

    private static string FirstLine(Exception exception)
    {
        var text = (exception.InnerException ?? exception).Message;
        var line = text.Split('\n', 2)[0].Trim();
        return line.Length <= 160 ? line : $"{line[..157]}...";
    }

    private static Device FindGpu(int localRank)
    {
        bool available;
        try
        {
            available = InitializeQuietly(DeviceType.CUDA);
        }
        catch (Exception exception) when (IsMissingLibrary(exception))
        {
            available = false; // a build for the CPU
        }

        if (!available)
        {
            throw new BackendException(CudaDriver.IsInstalled
                ? "libtorch finds no GPU although an NVIDIA driver is there; check that it was built with -p:Torch=cuda-linux or cuda-windows, that " +
                    "nvidia-smi shows a GPU, that its CUDA version is at least libtorch's, and that CUDA_VISIBLE_DEVICES hides none, or use --device cpu."
                : "No NVIDIA driver was found; install one and check it with nvidia-smi, or use --device cpu.");
        }

        var index = localRank % Math.Max(1, cuda.device_count());
        CudaDriver.MakeCurrent(index);

        // Long sums in float32 throughout; of bfloat16 TorchSharp does not let it be said.
        backends.cuda.matmul.allow_fp16_reduced_precision_reduction = false;
        return new Device(DeviceType.CUDA, index);
    }

    private static bool CanMultiply(ScalarType type, Device device)
    {
        try
        {
            using var scope = NewDisposeScope();
            var ones = zeros(4, 4, dtype: type, device: device);
            _ = ones.mm(ones);
            return true;
        }
        catch (ExternalException) // "... not implemented for 'Half'"
        {
            return false;
        }
    }

    private static string Name(Device device) => device.type == DeviceType.CPU ? "cpu" : $"cuda:{device.index}";

    private static string Name(ScalarType type) => type switch
    {
        ScalarType.BFloat16 => "bfloat16",
        ScalarType.Float16 => "float16",
        _ => "float32",
    };

    // .NET keeps its own copy of the environment on Unix, which native libraries do not see.
    private static void SetNativeVariable(string name, string value)
    {
        if (OperatingSystem.IsWindows())
        {
            Environment.SetEnvironmentVariable(name, value);
        }
        else
        {
            _ = TorchNative.SetEnvironment(name, value, 1);
        }
    }
}
