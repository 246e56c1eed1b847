namespace Distributed.Fuzz;

/// <summary>A kind of file, how to make a wrong one, and what must hold for whatever is made of it.</summary>
internal abstract class FuzzTarget
{
    /// <summary>As the command line has it.</summary>
    public abstract string Name { get; }

    /// <summary>The file's name in its folder, which readers may look at.</summary>
    public abstract string FileName { get; }

    /// <summary>The bytes of an input; from the same numbers the same bytes.</summary>
    public abstract byte[] Make(Random random);

    /// <summary>Writes what stands beside every input, once.</summary>
    public virtual void Prepare(string folder)
    {
    }

    /// <summary>Whether an input has to be a file, as what is read is mapped; if not, no file is written.</summary>
    public virtual bool NeedsFile(byte[] input) => false;

    /// <summary>Reads the input. What is accepted must be right, which is checked apart from the reader.</summary>
    /// <param name="input">Its bytes.</param>
    /// <param name="path">Where it lies, or would lie.</param>
    /// <exception cref="Exception">
    /// A named error, which <see cref="IsRefusal"/> knows, or a failure; <see cref="WrongResultException"/> where what was accepted is wrong.
    /// </exception>
    public abstract void Read(byte[] input, string path);

    /// <summary>Whether an exception is the named error of this kind of file.</summary>
    public abstract bool IsRefusal(Exception exception);

    /// <summary>Fails unless what was accepted is right.</summary>
    protected static void Require(bool condition, string rule)
    {
        if (!condition)
        {
            throw new WrongResultException(rule);
        }
    }
}
